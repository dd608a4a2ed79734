/* An interpreter of bytecode for a stack machine, dispatched by a switch: an indirect branch for each instruction. Its
   program adds up, for each number below a limit, the steps that the Collatz sequence takes to 1.
   usage: bytecode [PERCENT of the work] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum op { PUSH, LOAD, STORE, ADD, MUL, HALF, IS_ODD, LESS, JUMP, JUMP_IF_ZERO, HALT };

enum { LIMIT, N, X, STEPS, VARIABLES };

/* A jump names the offset of its target; the comments give those of the lines. */
static const uint8_t PROGRAM[] = {
  /*  0 */ PUSH, 1, STORE, N,                              /* n = 1; */
  /*  4 */ LOAD, N, LOAD, LIMIT, LESS, JUMP_IF_ZERO, 60,   /* while (n < limit) { */
  /* 11 */ LOAD, N, STORE, X,                              /*   x = n; */
  /* 15 */ PUSH, 1, LOAD, X, LESS, JUMP_IF_ZERO, 51,       /*   while (1 < x) { */
  /* 22 */ LOAD, X, IS_ODD, JUMP_IF_ZERO, 37,              /*     x = x is odd */
  /* 27 */ LOAD, X, PUSH, 3, MUL, PUSH, 1, ADD, JUMP, 40,  /*       ? x * 3 + 1 */
  /* 37 */ LOAD, X, HALF,                                  /*       : x / 2; */
  /* 40 */ STORE, X,
  /* 42 */ LOAD, STEPS, PUSH, 1, ADD, STORE, STEPS,        /*     steps++; */
  /* 49 */ JUMP, 15,                                       /*   } */
  /* 51 */ LOAD, N, PUSH, 1, ADD, STORE, N,                /*   n++; */
  /* 58 */ JUMP, 4,                                        /* } */
  /* 60 */ LOAD, STEPS, HALT,
};

/* Returns what lies on top of the stack at the end. */
static uint64_t interpret(const uint8_t *program, uint64_t *variables)
{
  uint64_t stack[16], *top = stack;

  for (const uint8_t *pc = program;;)
    switch ((enum op)*pc++) {
    case PUSH:
      *++top = *pc++;
      break;
    case LOAD:
      *++top = variables[*pc++];
      break;
    case STORE:
      variables[*pc++] = *top--;
      break;
    case ADD:
      top--;
      *top += top[1];
      break;
    case MUL:
      top--;
      *top *= top[1];
      break;
    case HALF:
      *top /= 2;
      break;
    case IS_ODD:
      *top &= 1;
      break;
    case LESS:
      top--;
      *top = *top < top[1];
      break;
    case JUMP:
      pc = program + *pc;
      break;
    case JUMP_IF_ZERO:
      pc = *top-- == 0 ? program + *pc : pc + 1;
      break;
    case HALT:
      return *top;
    }
}

int main(int argc, char **argv)
{
  uint64_t variables[VARIABLES] = { [LIMIT] = 2500 * (argc > 1 ? atol(argv[1]) : 100) };

  printf("%lu\n", interpret(PROGRAM, variables));
  return 0;
}
