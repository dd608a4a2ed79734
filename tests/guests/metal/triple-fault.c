/* 32 64 */
/* Three faults in a row: no interrupt table at all. The processor shuts down. SDM vol. 3A §6.15, "Interrupt 8". */
#include "metal.h"

int main(void)
{
    say("before\n");
    uart_drain();
    load_idt(0, 0);
    asm volatile("ud2");
    say("behind\n");
    return 1;
}
