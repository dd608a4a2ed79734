/* 32 64 */
/* What a multiboot loader hands over: the magic number, memory sizes, the memory map, the command line. */
#include "metal.h"

struct information {
    uint32_t flags, memory_lower_kib, memory_upper_kib, boot_device, command_line, module_count, modules;
    uint32_t symbols[4], map_bytes, map;
};
struct map_entry {
    uint32_t size; /* of the rest */
    uint64_t base, length;
    uint32_t type;
} __attribute__((packed));

int main(void)
{
    const struct information *information = (void *)(word)boot_information;
    say("%u-bit guest\n", (unsigned)sizeof(word) * 8);
    check_is("magic number", boot_magic, 0x2badb002);
    check("memory sizes are given", information->flags & 1);
    check("640 KiB below", information->memory_lower_kib >= 600 && information->memory_lower_kib <= 640);
    check("memory above", information->memory_upper_kib >= 8 << 10);
    check("a memory map is given", information->flags & 0x40);
    uint64_t available = 0;
    bool holds_us = false;
    for (uint32_t at = information->map; at < information->map + information->map_bytes;) {
        const struct map_entry *entry = (void *)(word)at;
        say("# %016llx %016llx %u\n", (unsigned long long)entry->base, (unsigned long long)entry->length, entry->type);
        if (entry->type == 1) {
            available += entry->length;
            holds_us |= entry->base <= (word)main && entry->base + entry->length > (word)main;
        }
        at += entry->size + 4;
    }
    check("the map agrees with the sizes", available >> 10 >= information->memory_upper_kib);
    check("the guest is in available memory", holds_us);
    check("command line", has_argument("one") && has_argument("two=2") && !has_argument("thre"));
    check("interrupts are off", !(read_flags() & 0x200));
    return failures;
}
