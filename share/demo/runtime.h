/*
 * All that the demo needs of an operating system: five system calls, a line of text at a time, and memory.
 * There is no C library, so that the program is small and depends on nothing but the compiler.
 * System V ABI, AMD64 supplement, section A.2.1 (system calls) and 3.4.1 (state at process entry).
 */
#ifndef RUNTIME_H
#define RUNTIME_H

#include <stddef.h>
#include <stdint.h>

/* Pages that read as zero. Ends the program if there are none to be had. */
void *pages_get(size_t bytes);
void pages_put(void *pages, size_t bytes);

/* Text is collected into one line; `line_end` writes it to standard output. */
void put_text(const char *text);
/* Padded on the left to `width`, with a comma between groups of three digits. */
void put_count(uint64_t value, int width);
void put_hex(uint64_t value, int digits);
/* With nine digits after the point, rounded to nearest. |value| < 9e9. */
void put_real(double value);
void line_end(void);

/* The program. The result is its exit status. */
int run(void);

#endif
