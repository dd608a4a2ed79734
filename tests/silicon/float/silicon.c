// Executes single instructions on the processor that this program runs on. Reads records of 1024 bytes from
// the file given as first argument and writes them back as they are afterwards:
//   0x000  code of the instruction, up to 16 bytes (it may use rdi = address of `memory`, rax, rbx)
//   0x010  u8 length of the code
//   0x014  u32 number of the signal that it raised (out)
//   0x018  u64 rax | 0x020 u64 rflags | 0x028 u64 rbx
//   0x040  memory operand, 448 bytes
//   0x200  FXSAVE64 image, loaded before and stored after
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

struct record {
  uint8_t code[16];
  uint8_t length, unused[3];
  uint32_t signal;
  uint64_t rax, rflags, rbx, reserved[2];
  uint8_t memory[448];
  uint8_t fxsave[512];
};

enum { CODE_BYTES = 16, RET_AT = CODE_BYTES + 5 };

_Static_assert(sizeof(struct record) == 1024, "as the head says");

static uint8_t *page;           // the instruction padded with NOPs to CODE_BYTES, then the store of the image
static volatile uint32_t seen;  // signal of the current record
static struct record *volatile current;

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)info;
  ucontext_t *uc = context;
  seen = number;
  memcpy(current->fxsave, uc->uc_mcontext.fpregs, 512);
  // Skip the instruction and the store of the image, which the copy above replaces, and mask all exceptions.
  uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(page + RET_AT);
  uint32_t *mxcsr = (uint32_t *)((char *)uc->uc_mcontext.fpregs + 24);
  *mxcsr = 0x1f80;
  *(uint16_t *)uc->uc_mcontext.fpregs = 0x37f;
  *((uint16_t *)uc->uc_mcontext.fpregs + 1) = 0;
}

// rdi = memory, rsi = record
static void run(struct record *r) {
  void *entry = page;
  __asm__ volatile(
      "sub $128, %%rsp\n\t"
      "push %%rbx\n\t"
      "fxrstor64 512(%%rsi)\n\t"
      "push 32(%%rsi)\n\t"
      "popfq\n\t"
      "mov 24(%%rsi), %%rax\n\t"
      "mov 40(%%rsi), %%rbx\n\t"
      "lea 64(%%rsi), %%rdi\n\t"
      "call *%%rcx\n\t"
      "mov %%rax, 24(%%rsi)\n\t"
      "mov %%rbx, 40(%%rsi)\n\t"
      "pushfq\n\t"
      "pop 32(%%rsi)\n\t"
      "pop %%rbx\n\t"
      "add $128, %%rsp\n\t"
      "fninit\n\t"
      : "+S"(r), "+c"(entry)
      :
      : "rax", "rdi", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: %s records\n", argv[0]), 2;
  int fd = open(argv[1], O_RDWR);
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) return perror(argv[1]), 1;
  struct record *records = mmap(0, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (records == MAP_FAILED || page == MAP_FAILED) return perror("mmap"), 1;
  static const int signals[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS};
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, 0);
  static const uint8_t end[] = {0xeb, 0x06,                          // 16: jmp 24
                                0x90, 0x90, 0x90,                    // 18
                                0xc3,                                // 21: ret, where the handler goes
                                0x90, 0x90,                          // 22
                                0x48, 0x0f, 0xae, 0x86, 0, 2, 0, 0,  // 24: fxsave64 512(%rsi)
                                0xc3};                               // 32: ret
  memcpy(page + CODE_BYTES, end, sizeof end);
  for (size_t i = 0; i < st.st_size / sizeof *records; i++) {
    struct record *r = &records[i];
    memset(page, 0x90, CODE_BYTES);
    memcpy(page, r->code, r->length);
    seen = 0;
    current = r;
    run(r);
    r->signal = seen;
    uint32_t mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
  }
  return 0;
}
