// Runs pieces of code on this processor, each with registers, flags and memory of its own, until they fault; a piece
// ends in UD2 at the latest. Entering and leaving both are the work of the signal handler: it writes down what the
// interrupted context shows, puts the next case into it, and returns. Records are those of silicon.ts.

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

struct record {
  uint8_t code[64];
  uint64_t gpr[16];
  uint64_t rip;
  uint64_t rflags;
  uint32_t selector;
  uint32_t vector;
  uint32_t error_code;
  uint32_t unused;
  uint64_t address;
  uint64_t unused2[3];
  uint8_t memory[512];
};

enum { CODE = 0x400000, DATA = 0x600000, AREA_BYTES = 0x4000 };

static const int REGISTERS[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
static struct record *records, *current, *end;

static void enter(ucontext_t *context) {
  if (current == end) _exit(0);
  greg_t *gregs = context->uc_mcontext.gregs;
  memcpy((void *)CODE, current->code, sizeof current->code);
  memset((void *)DATA, 0, AREA_BYTES);
  memcpy((void *)DATA, current->memory, sizeof current->memory);
  for (int i = 0; i < 16; i++) gregs[REGISTERS[i]] = current->gpr[i];
  gregs[REG_RIP] = CODE;
  gregs[REG_EFL] = current->rflags;
  uint16_t selector = current->selector;
  memcpy(&gregs[REG_CSGSFS], &selector, 2);
}

static void handler(int signal, siginfo_t *info, void *argument) {
  (void)info;
  ucontext_t *context = argument;
  greg_t *gregs = context->uc_mcontext.gregs;
  if (gregs[REG_RIP] - CODE > 0x1000ul && gregs[REG_RIP] - DATA > AREA_BYTES) {
    if (signal != SIGUSR1) _exit(2);
    enter(context);
    return;
  }
  for (int i = 0; i < 16; i++) current->gpr[i] = gregs[REGISTERS[i]];
  current->rip = gregs[REG_RIP];
  current->rflags = gregs[REG_EFL];
  current->vector = gregs[REG_TRAPNO];
  current->error_code = gregs[REG_ERR];
  current->address = gregs[REG_CR2];
  memcpy(current->memory, (void *)DATA, sizeof current->memory);
  current++;
  enter(context);
}

static int map(uintptr_t at, int protection) {
  void *want = (void *)at;
  return mmap(want, AREA_BYTES, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == want;
}

int main(int count, char **arguments) {
  if (count != 2) return 3;
  int file = open(arguments[1], O_RDWR);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) return 4;
  records = mmap(0, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (records == MAP_FAILED) return 5;
  current = records;
  end = records + status.st_size / sizeof *records;
  if (!map(CODE, PROT_READ | PROT_WRITE | PROT_EXEC) || !map(DATA, PROT_READ | PROT_WRITE)) return 6;
  static uint8_t stack[1 << 16];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, 0);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  const int signals[] = {SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP, SIGUSR1};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, 0);
  // Data segments that 32-bit code can use.
  __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0x2b));
  raise(SIGUSR1);
  return 7;
}
