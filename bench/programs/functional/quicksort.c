/* Quicksort of random integers: recursion, and branches that are hard to predict.
   usage: quicksort [PERCENT of the work] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void sort(int32_t *a, long n)
{
  while (n > 12) {
    int32_t pivot = a[n / 2];
    long i = 0, j = n - 1;
    while (i <= j) {
      while (a[i] < pivot)
        i++;
      while (a[j] > pivot)
        j--;
      if (i <= j) {
        int32_t t = a[i];
        a[i++] = a[j];
        a[j--] = t;
      }
    }
    sort(a, j + 1);
    a += i;
    n -= i;
  }
  for (long i = 1; i < n; i++) {
    int32_t t = a[i];
    long j = i;
    for (; j > 0 && a[j - 1] > t; j--)
      a[j] = a[j - 1];
    a[j] = t;
  }
}

int main(int argc, char **argv)
{
  long count = 100000 * (argc > 1 ? atol(argv[1]) : 100);
  int32_t *a = malloc(count * sizeof *a);
  uint32_t x = 2463534242, hash = 2166136261;

  if (a == NULL)
    return 1;
  for (long i = 0; i < count; i++) {
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    a[i] = (int32_t)x;
  }
  sort(a, count);
  for (long i = 0; i < count; i++) {
    if (i > 0 && a[i - 1] > a[i])
      return 1;
    hash = (hash ^ (uint32_t)a[i]) * 16777619;
  }
  printf("%08x\n", hash);
  return 0;
}
