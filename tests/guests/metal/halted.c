/* 64 */
/* HLT with interrupts off: nothing but an NMI or a reset would end it, and neither comes. */
#include "metal.h"

int main(void)
{
    say("halting for good\n");
    uart_drain();
    asm volatile("cli; hlt");
    say("behind\n");
    return 1;
}
