/* The chips around the processor: 8259 pair, 8254, local and I/O APIC, ACPI timer. Datasheets of
 * these names; SDM vol. 3A chapter 11. */
#include "metal.h"

enum { PIC1 = 0x20, PIC2 = 0xa0 };

void pic_start(void)
{
    outb(PIC1, 0x11); /* ICW1: edge, cascade, ICW4 follows */
    outb(PIC2, 0x11);
    outb(PIC1 + 1, PIC_VECTOR);
    outb(PIC2 + 1, PIC_VECTOR + 8);
    outb(PIC1 + 1, 1 << IRQ_CASCADE);
    outb(PIC2 + 1, IRQ_CASCADE);
    outb(PIC1 + 1, 1); /* ICW4: 8086 mode */
    outb(PIC2 + 1, 1);
    outb(PIC1 + 1, 0xff & ~(1 << IRQ_CASCADE));
    outb(PIC2 + 1, 0xff);
}

void pic_unmask(unsigned irq)
{
    uint16_t port = irq < 8 ? PIC1 + 1 : PIC2 + 1;
    outb(port, inb(port) & ~(1 << (irq & 7)));
}

void pic_mask(unsigned irq)
{
    uint16_t port = irq < 8 ? PIC1 + 1 : PIC2 + 1;
    outb(port, inb(port) | 1 << (irq & 7));
}

void pic_eoi(unsigned irq)
{
    if (irq >= 8)
        outb(PIC2, 0x20);
    outb(PIC1, 0x20);
}

void pit_start(unsigned channel, unsigned mode, uint16_t count)
{
    outb(0x43, channel << 6 | 0x30 | mode << 1);
    outb(0x40 + channel, count);
    outb(0x40 + channel, count >> 8);
}

uint16_t pit_count(unsigned channel)
{
    outb(0x43, channel << 6); /* latch */
    uint8_t low = inb(0x40 + channel);
    return low | inb(0x40 + channel) << 8;
}

static void spurious(struct frame *frame)
{
    (void)frame;
    say("spurious interrupt\n");
}

void apic_start(void)
{
    on(SPURIOUS_VECTOR, spurious);
    apic_write(APIC_LVT_TIMER, APIC_MASKED);
    apic_write(APIC_LVT_LINT0, APIC_MASKED);
    apic_write(APIC_LVT_LINT1, APIC_MASKED);
    apic_write(APIC_LVT_ERROR, APIC_MASKED);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 1 << 24);
    apic_write(APIC_SVR, 0x100 | SPURIOUS_VECTOR);
}

uint32_t io_apic_read(unsigned reg)
{
    store32(IO_APIC, reg);
    return load32(IO_APIC + 0x10);
}

void io_apic_write(unsigned reg, uint32_t value)
{
    store32(IO_APIC, reg);
    store32(IO_APIC + 0x10, value);
}

void wait_us(unsigned us)
{
    /* 3.579545 ticks each; 3666 / 1024 is that to 2 parts in 10,000. */
    uint32_t ticks = us / 1024 * 3666 + us % 1024 * 3666 / 1024 + 1;
    uint32_t start = pm_timer();
    while (((pm_timer() - start) & 0xffffff) < ticks)
        ;
}
