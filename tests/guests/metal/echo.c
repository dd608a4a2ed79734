/* 64 */
/* Characters from outside, received by interrupts and sent back, from a '>' to the end of the line. Those before may have
 * come while nobody listened. */
#include "metal.h"

static volatile char line[256];
static volatile unsigned length;

static void serve(struct frame *frame)
{
    (void)frame;
    uart_read(UART_IIR);
    while (uart_read(UART_LSR) & LSR_DATA_READY)
        line[length++ & 255] = uart_read(UART_DATA);
    pic_eoi(IRQ_COM1);
}

int main(void)
{
    say("say something\n");
    pic_start();
    on(PIC_VECTOR + IRQ_COM1, serve);
    pic_unmask(IRQ_COM1);
    uart_write(UART_IER, 1);
    unsigned seen = 0, shown = 0;
    char last;
    do {
        while (seen == length)
            sleep();
        last = line[seen++ & 255];
        if (shown == 0 && last != '>')
            continue;
        say("%c", last);
        shown++;
    } while (shown == 0 || last != '\n');
    uart_write(UART_IER, 0);
    say("%u characters\n", shown);
    return failures;
}
