/* The sieve of Eratosthenes, one byte per number: stores with a stride.
   usage: sieve [PERCENT of the work] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 2000000 };

static char composite[LIMIT + 1];

int main(int argc, char **argv)
{
  long rounds = 2 * (argc > 1 ? atol(argv[1]) : 100);
  long primes = 0, last = 0;

  for (long round = 0; round < rounds; round++) {
    memset(composite, 0, sizeof composite);
    for (long i = 2; i <= LIMIT; i++) {
      if (composite[i])
        continue;
      primes++;
      last = i;
      for (long j = i * i; j <= LIMIT; j += i)
        composite[j] = 1;
    }
  }
  printf("%ld %ld\n", primes, last);
  return 0;
}
