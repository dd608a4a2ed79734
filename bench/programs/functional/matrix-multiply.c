/* Multiplies matrices of double precision by the plain triple loop. The result is exact to the bit: IEEE 754 leaves no
   choice in additions and multiplications one by one, and x86-64-v2 has none that are fused.
   usage: matrix-multiply [PERCENT of the work] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 300 };

static double a[N][N], b[N][N], c[N][N];

int main(int argc, char **argv)
{
  long percent = argc > 1 ? atol(argv[1]) : 100;
  long rounds = (percent * 70 + 99) / 100;
  uint64_t hash = 0;

  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = (i * 7 + j * 3) % 11 / 7.0 - 0.5;
      b[i][j] = (i * 5 + j * 13) % 17 / 9.0 - 0.75;
    }
  for (long round = 0; round < rounds; round++) {
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) {
        double sum = 0;
        for (int k = 0; k < N; k++)
          sum += a[i][k] * b[k][j];
        c[i][j] = sum;
      }
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++)
        a[i][j] = c[j][i] / (1 + c[j][i] * c[j][i]);
  }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      uint64_t bits;
      memcpy(&bits, &c[i][j], sizeof bits);
      hash = (hash ^ bits) * 0x100000001b3;
    }
  printf("%016lx\n", hash);
  return 0;
}
