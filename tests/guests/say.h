/*
 * What the guest programs share. Each prints only what is the same on every run and every machine: under
 * hypertick a program must print the very bytes that it prints natively.
 */
#ifndef SAY_H
#define SAY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <stdint.h>

/* "name: value" and the name of errno if the call failed. */
static inline void say_call(const char *what, long result)
{
    if (result == -1)
        printf("%s: -1 %s\n", what, strerrorname_np(errno));
    else
        printf("%s: %ld\n", what, result);
}

/* For results that differ from run to run: only whether they are what they should be. */
static inline void say_whether(const char *what, int holds)
{
    printf("%s: %s\n", what, holds ? "yes" : "NO");
}

/* Ends the program, for steps on which the rest depends. */
#define MUST(condition)                                                                    \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            printf("line %d: %s failed: %s\n", __LINE__, #condition, strerror(errno));     \
            exit(99);                                                                      \
        }                                                                                  \
    } while (0)

/* FNV-1a, 32 bits. */
static inline uint32_t checksum(const void *data, size_t bytes)
{
    uint32_t sum = 2166136261u;
    for (const unsigned char *p = data; bytes != 0; bytes--)
        sum = (sum ^ *p++) * 16777619u;
    return sum;
}

#endif
