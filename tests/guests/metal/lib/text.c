/* Text on COM1, the end of a guest, and the few string functions that the compiler counts on. */
#include "metal.h"

unsigned failures;

static void put(char c)
{
    while (!(uart_read(UART_LSR) & LSR_THR_EMPTY))
        ;
    uart_write(UART_DATA, c);
}

void uart_drain(void)
{
    while (!(uart_read(UART_LSR) & LSR_ALL_EMPTY))
        ;
}

static void put_string(const char *s)
{
    while (*s)
        put(*s++);
}

static void put_number(uint64_t value, unsigned base, int width, char pad)
{
    char digits[24];
    int count = 0;
    /* Base 10 only for 32 bits: 64-bit division would need the compiler's library. */
    if (base == 16) {
        do
            digits[count++] = "0123456789abcdef"[value & 15];
        while (value >>= 4);
    } else {
        uint32_t rest = value;
        do
            digits[count++] = '0' + rest % 10;
        while (rest /= 10);
    }
    for (int i = count; i < width; i++)
        put(pad);
    while (count)
        put(digits[--count]);
}

/* %s %c %u %d %x, with l and ll for %x, a width and 0. */
void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    for (; *format; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        char pad = ' ';
        int width = 0, longs = 0;
        for (format++; *format >= '0' && *format <= '9'; format++) {
            if (*format == '0' && width == 0)
                pad = '0';
            else
                width = width * 10 + *format - '0';
        }
        for (; *format == 'l'; format++)
            longs++;
        switch (*format) {
        case 's':
            put_string(va_arg(arguments, const char *));
            break;
        case 'c':
            put(va_arg(arguments, int));
            break;
        case 'd': {
            int value = va_arg(arguments, int);
            if (value < 0)
                put('-');
            put_number(value < 0 ? -(unsigned)value : (unsigned)value, 10, width, pad);
            break;
        }
        case 'u':
        case 'x': {
            uint64_t value = longs == 2   ? va_arg(arguments, unsigned long long)
                             : longs == 1 ? va_arg(arguments, unsigned long)
                                          : va_arg(arguments, unsigned);
            put_number(value, *format == 'x' ? 16 : 10, width, pad);
            break;
        }
        default:
            put(*format);
        }
    }
    va_end(arguments);
}

void check(const char *what, bool holds)
{
    if (!holds)
        failures++;
    say("%s: %s\n", what, holds ? "ok" : "WRONG");
}

void check_is(const char *what, uint64_t value, uint64_t expected)
{
    check(what, value == expected);
    if (value != expected)
        say("# %s: 0x%llx, not 0x%llx\n", what, (unsigned long long)value, (unsigned long long)expected);
}

_Noreturn void end(unsigned value)
{
    uart_drain();
    outl(TEST_EXIT_PORT, value);
    for (;;)
        asm volatile("cli; hlt");
}

void *memcpy(void *to, const void *from, size_t bytes)
{
    void *result = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    return result;
}

void *memset(void *to, int value, size_t bytes)
{
    void *result = to;
    asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
    return result;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const unsigned char *p = a, *q = b;
    for (; bytes; bytes--, p++, q++)
        if (*p != *q)
            return *p - *q;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

size_t strlen(const char *s)
{
    size_t length = 0;
    while (s[length])
        length++;
    return length;
}

uint32_t checksum(uint32_t sum, const void *data, size_t bytes)
{
    for (const unsigned char *p = data; bytes != 0; bytes--)
        sum = (sum ^ *p++) * 16777619u;
    return sum;
}

const char *command_line(void)
{
    const uint32_t *information = (const uint32_t *)(word)boot_information;
    return information[0] & 4 ? (const char *)(word)information[4] : "";
}

bool has_argument(const char *name)
{
    const char *p = command_line();
    size_t length = strlen(name);
    while (*p) {
        while (*p == ' ')
            p++;
        const char *begin = p;
        while (*p && *p != ' ')
            p++;
        if ((size_t)(p - begin) == length && memcmp(begin, name, length) == 0)
            return true;
    }
    return false;
}
