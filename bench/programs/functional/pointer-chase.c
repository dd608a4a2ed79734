/* Follows pointers in random order through 64 MiB, a cache line each: every load waits for the one before it, and
   hardly any finds its page in the TLB or its line in a cache.
   usage: pointer-chase [PERCENT of the work] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct node {
  struct node *next;
  uint64_t value;
  char padding[48];
};

enum { NODES = (64 << 20) / sizeof(struct node) };

int main(int argc, char **argv)
{
  long steps = 50000 * (argc > 1 ? atol(argv[1]) : 100);
  struct node *nodes = aligned_alloc(64, NODES * sizeof *nodes);
  uint64_t x = 88172645463325252, sum = 0;

  if (nodes == NULL)
    return 1;
  for (long i = 0; i < NODES; i++)
    nodes[i] = (struct node){ .next = &nodes[i], .value = i };
  /* Sattolo's shuffle makes one cycle of all. */
  for (long i = NODES - 1; i > 0; i--) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    long j = x % i;
    struct node *t = nodes[i].next;
    nodes[i].next = nodes[j].next;
    nodes[j].next = t;
  }
  const struct node *p = nodes;
  for (long i = 0; i < steps; i++) {
    sum = sum * 31 + p->value;
    p = p->next;
  }
  printf("%016lx\n", sum);
  return 0;
}
