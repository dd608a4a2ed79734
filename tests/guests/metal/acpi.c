/* 64 */
/* The ACPI tables say where the chips are, and they are there. ACPI 6.5 §5.2. */
#include "metal.h"

int main(void)
{
    const uint8_t *fadt = acpi_table("FACP"), *madt = acpi_table("APIC"), *hpet = acpi_table("HPET");
    check("FADT, MADT and HPET", fadt != 0 && madt != 0 && hpet != 0);
    if (failures != 0)
        return failures;
    check_is("PM1a event block", field32(fadt, FADT_PM1A_EVENT), PM_BASE);
    check_is("PM1a control block", field32(fadt, FADT_PM1A_CONTROL), PM_BASE + 4);
    check_is("PM timer", field32(fadt, FADT_PM_TIMER), PM_TIMER_PORT);
    check_is("SCI", fadt[FADT_SCI], IRQ_ACPI);
    check("a DSDT", memcmp((void *)(word)field32(fadt, FADT_DSDT), "DSDT", 4) == 0);
    check_is("HPET", field32(hpet, 44), HPET);
    check_is("local APIC", field32(madt, 36), APIC);
    unsigned processors = 0, io_apics = 0, timer_pin = 0;
    for (unsigned at = 44; at < field32(madt, 4); at += madt[at + 1]) {
        switch (madt[at]) {
        case 0:
            processors += madt[at + 4] & 1;
            break;
        case 1:
            io_apics += field32(madt, at + 4) == IO_APIC && field32(madt, at + 8) == 0;
            break;
        case 2:
            if (madt[at + 3] == IRQ_TIMER)
                timer_pin = field32(madt, at + 4);
        }
    }
    check_is("a processor", processors, 1);
    check_is("an I/O APIC", io_apics, 1);
    check_is("the timer's pin", timer_pin, PIN_TIMER);
    uint32_t before = pm_timer();
    wait_us(10);
    check("the PM timer counts", pm_timer() != before);
    /* Where the machine does not start in ACPI mode, a command to the firmware switches it over. */
    if (!(inw(PM_BASE + 4) & 1))
        outb(field32(fadt, FADT_SMI_COMMAND), fadt[FADT_ACPI_ENABLE]);
    check("ACPI mode", WAIT_FOR(inw(PM_BASE + 4) & 1));
    return failures;
}
