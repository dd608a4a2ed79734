/* Finding ACPI tables as firmware without EFI leaves them: RSDP below 1 MiB, RSDT, tables. ACPI 6.5 §5.2.5 to §5.2.7. */
#include "metal.h"

static bool sums_to_zero(const uint8_t *bytes, size_t count)
{
    uint8_t sum = 0;
    while (count--)
        sum += *bytes++;
    return sum == 0;
}

const uint8_t *acpi_table(const char *signature)
{
    for (word at = 0xe0000; at < 0x100000; at += 16) {
        const uint8_t *pointer = (const uint8_t *)at;
        if (memcmp(pointer, "RSD PTR ", 8) != 0 || !sums_to_zero(pointer, 20))
            continue;
        const uint8_t *root = (const uint8_t *)(word)field32(pointer, 16);
        for (unsigned offset = 36; offset < field32(root, 4); offset += 4) {
            const uint8_t *table = (const uint8_t *)(word)field32(root, offset);
            if (memcmp(table, signature, 4) == 0 && sums_to_zero(table, field32(table, 4)))
                return table;
        }
    }
    return 0;
}
