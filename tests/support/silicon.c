// Executes single instructions on this processor: reads cases from standard input, writes outcomes to standard output, in the
// layout of silicon.ts. An instruction is copied to a page of its own and jumped to with all registers but RSP set; a jump
// behind it leads back. Exceptions come as signals.

#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define CODE ((uint8_t *)0x400000)
#define DATA ((uint8_t *)0x600000)
#define AREA_BYTES 0x4000
#define MEMORY_BYTES 640
#define PAGE_FAULT 14
// Where the address is to which the jump behind an instruction leads: aligned, since RFLAGS.AC may be set.
#define BACK_AT 64

struct state {
  uint64_t gpr[16], rflags, memory_at;
  uint8_t fx[512], memory[MEMORY_BYTES];
};
struct input {
  uint8_t code[16];
  uint64_t length;
  struct state state;
};
struct output {
  int64_t vector;
  uint64_t address;
  struct state state;
};

uint64_t in_gpr[16], out_gpr[16], in_flags, out_flags;
uint64_t code_entry = (uint64_t)CODE;
uint8_t fx[512] __attribute__((aligned(64)));
static sigjmp_buf recovery;
static volatile int64_t vector;
static volatile uint64_t address;

extern void run_case(void), after_case(void);
__asm__(
    ".text\n.globl run_case\nrun_case:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "fxrstor64 fx(%rip)\n"
    "pushq in_flags(%rip); popfq\n"
#define LOAD(reg, i) "mov in_gpr+8*" #i "(%rip), %" #reg "\n"
    LOAD(rax, 0) LOAD(rcx, 1) LOAD(rdx, 2) LOAD(rbx, 3) LOAD(rbp, 5) LOAD(rsi, 6) LOAD(rdi, 7)
    LOAD(r8, 8) LOAD(r9, 9) LOAD(r10, 10) LOAD(r11, 11) LOAD(r12, 12) LOAD(r13, 13) LOAD(r14, 14) LOAD(r15, 15)
    "jmp *code_entry(%rip)\n"
    ".globl after_case\nafter_case:\n"
#define SAVE(reg, i) "mov %" #reg ", out_gpr+8*" #i "(%rip)\n"
    SAVE(rax, 0) SAVE(rcx, 1) SAVE(rdx, 2) SAVE(rbx, 3) SAVE(rbp, 5) SAVE(rsi, 6) SAVE(rdi, 7)
    SAVE(r8, 8) SAVE(r9, 9) SAVE(r10, 10) SAVE(r11, 11) SAVE(r12, 12) SAVE(r13, 13) SAVE(r14, 14) SAVE(r15, 15)
    "pushfq; popq out_flags(%rip)\n"
    "pushq $2; popfq\n"
    "fxsave64 fx(%rip)\n"
    "fninit; ldmxcsr default_mxcsr(%rip); cld\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "ret\n");
uint32_t default_mxcsr = 0x1f80;

static void on_signal(int number, siginfo_t *info, void *context) {
  // RFLAGS.AC may be set, and the C library's accesses need not be aligned.
  __asm__ volatile("pushq $2; popfq" ::: "memory", "cc");
  (void)number;
  (void)info;
  vector = ((ucontext_t *)context)->uc_mcontext.gregs[REG_TRAPNO];
  address = vector == PAGE_FAULT ? ((ucontext_t *)context)->uc_mcontext.gregs[REG_CR2] : 0;
  siglongjmp(recovery, 1);
}

static int map(uint8_t *at, int protection) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  return mmap(at, AREA_BYTES, protection, flags, -1, 0) == at;
}

static void execute(const struct input *in, struct output *out) {
  memset(out, 0, sizeof *out);
  memcpy((void *)in->state.memory_at, in->state.memory, MEMORY_BYTES);
  memcpy(CODE, in->code, in->length);
  const uint8_t jump[] = {0xff, 0x25, BACK_AT - in->length - 6, 0, 0, 0};
  void (*back)(void) = after_case;
  memcpy(CODE + in->length, jump, sizeof jump);
  memcpy(CODE + BACK_AT, &back, sizeof back);
  memcpy(in_gpr, in->state.gpr, sizeof in_gpr);
  memcpy(fx, in->state.fx, sizeof fx);
  in_flags = in->state.rflags;
  vector = -1;
  address = 0;
  if (sigsetjmp(recovery, 1) == 0) run_case();
  else __asm__ volatile("fninit; ldmxcsr default_mxcsr(%rip); cld");
  out->vector = vector;
  out->address = address;
  memcpy(out->state.gpr, out_gpr, sizeof out_gpr);
  out->state.rflags = out_flags;
  out->state.memory_at = in->state.memory_at;
  memcpy(out->state.fx, fx, sizeof fx);
  memcpy(out->state.memory, (void *)in->state.memory_at, MEMORY_BYTES);
}

int main(void) {
  if (!map(CODE, PROT_READ | PROT_WRITE | PROT_EXEC) || !map(DATA, PROT_READ | PROT_WRITE)) return 2;
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  const int signals[] = {SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGTRAP};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, 0);
  static struct input in;
  static struct output out;
  while (fread(&in, sizeof in, 1, stdin) == 1) {
    execute(&in, &out);
    if (fwrite(&out, sizeof out, 1, stdout) != 1) return 3;
  }
  return 0;
}
