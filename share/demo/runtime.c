#include "runtime.h"

enum { SYS_write = 1, SYS_mmap = 9, SYS_munmap = 11, SYS_exit_group = 231 };

static long call6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static _Noreturn void leave(int status)
{
    for (;;)
        call6(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

/* The kernel enters here, with the stack aligned to 16 bytes and no return address on it. */
__asm__(".globl _start\n"
        "_start: xor %ebp, %ebp\n"
        "        call enter\n");

__attribute__((used)) static void enter(void)
{
    leave(run());
}

void *pages_get(size_t bytes)
{
    enum { READ_WRITE = 3, PRIVATE_ANONYMOUS = 0x22 };
    long address = call6(SYS_mmap, 0, (long)bytes, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0);
    if (address < 0) {
        put_text("no memory");
        line_end();
        leave(2);
    }
    return (void *)address;
}

void pages_put(void *pages, size_t bytes)
{
    call6(SYS_munmap, (long)pages, (long)bytes, 0, 0, 0, 0);
}

static char line[256];
static size_t length;

static void put_char(char c)
{
    if (length < sizeof line)
        line[length++] = c;
}

void put_text(const char *text)
{
    while (*text != '\0')
        put_char(*text++);
}

void put_count(uint64_t value, int width)
{
    char digits[32];
    int n = 0;
    do {
        if (n % 4 == 3)
            digits[n++] = ',';
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (int i = n; i < width; i++)
        put_char(' ');
    while (n > 0)
        put_char(digits[--n]);
}

void put_hex(uint64_t value, int digits)
{
    while (digits-- > 0)
        put_char("0123456789abcdef"[value >> (4 * digits) & 15]);
}

void put_real(double value)
{
    if (value < 0) {
        put_char('-');
        value = -value;
    }
    uint64_t billionths = (uint64_t)(value * 1e9 + 0.5);
    put_count(billionths / 1000000000u, 0);
    put_char('.');
    uint64_t fraction = billionths % 1000000000u;
    for (uint64_t place = 100000000u; place != 0; place /= 10)
        put_char((char)('0' + fraction / place % 10));
}

void line_end(void)
{
    put_char('\n');
    for (size_t done = 0; done < length;) {
        long written = call6(SYS_write, 1, (long)(line + done), (long)(length - done), 0, 0, 0);
        if (written <= 0)
            leave(3);
        done += (size_t)written;
    }
    length = 0;
}

/* The compiler may call these wherever it likes. */
void *memset(void *to, int byte, size_t bytes)
{
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(byte) : "memory");
    return start;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    return start;
}
