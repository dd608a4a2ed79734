/* 64 */
/* The ways to switch a PC off or reset it; the command line says which. ACPI 6.5 §4.8.3.2; reset control of the PIIX3; output port of
 * the i8042. */
#include "metal.h"

/* SLP_TYP of soft-off: the first element of the package _S5 in the DSDT's code. ACPI 6.5 §7.4.2, §20.2. */
static uint16_t sleep_type(const uint8_t *dsdt)
{
    for (const uint8_t *p = dsdt + 36; p < dsdt + field32(dsdt, 4) - 8; p++) {
        if (memcmp(p, "_S5_\x12", 5) != 0)
            continue;
        p += 5 + (p[5] >> 6) + 2;              /* behind the package's length and its number of elements */
        return p[0] == 0x0a ? p[1] : p[0]; /* a byte with its prefix, or the constants 0 and 1 */
    }
    say("there is no _S5\n");
    return 0;
}

static void soft_off(void)
{
    const uint8_t *fadt = acpi_table("FACP");
    uint16_t type = sleep_type((const uint8_t *)(word)field32(fadt, FADT_DSDT));
    say("# SLP_TYP %u\n", type);
    uart_drain();
    outw(field32(fadt, FADT_PM1A_CONTROL), type << 10 | 0x2000);
}

int main(void)
{
    static const struct {
        const char *name;
        uint16_t port;
        uint8_t value;
    } ways[] = {
        {"cf9", 0xcf9, 0x06},      /* hard reset */
        {"i8042", 0x64, 0xfe},     /* pulse output line 0: the reset line */
        {"port-92", 0x92, 0x01},
    };
    if (has_argument("off")) {
        say("off\n");
        soft_off();
    }
    for (unsigned i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (has_argument(ways[i].name)) {
            say("%s\n", ways[i].name);
            uart_drain();
            outb(ways[i].port, ways[i].value);
        }
    wait_us(100000);
    say("still here\n");
    return 1;
}
