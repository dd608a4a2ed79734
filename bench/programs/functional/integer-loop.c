/* Arithmetic on 64-bit integers in registers: multiply, shift, rotate, compare and a branch that is hard to predict.
   usage: integer-loop [PERCENT of the work] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
  long count = 2500000 * (argc > 1 ? atol(argv[1]) : 100);
  uint64_t x = 0x9e3779b97f4a7c15, sum = 0;

  for (long i = 0; i < count; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    uint64_t y = (x + i) * 0xff51afd7ed558ccd;
    if (y >> 62 == 1)
      sum += y ^ (y >> 29);
    else
      sum = (sum << 5 | sum >> 59) - i;
  }
  printf("%016lx\n", sum);
  return 0;
}
