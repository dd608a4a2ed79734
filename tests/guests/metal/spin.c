/* 32 64 */
/* A jump to itself, with interrupts off. */
#include "metal.h"

int main(void)
{
    say("spinning\n");
    uart_drain();
    asm volatile("1: jmp 1b");
    return 1;
}
