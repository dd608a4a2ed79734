/*
 * Programs that run wild. Each is a few instructions and ends with the signal named beside it, except
 * `spin`, which does not end. build.sh makes one program of each name.
 */

        .globl _start
        .text
_start:
#if defined(JUMP_NULL)                  /* SIGSEGV */
        xor %eax, %eax
        jmp *%rax
#elif defined(JUMP_NON_CANONICAL)       /* SIGSEGV, by a general-protection fault */
        mov $0x8000000000001234, %rax
        jmp *%rax
#elif defined(RECURSE)                  /* SIGSEGV, when the stack has used up its limit */
        call _start
#elif defined(EXECUTE_DATA)             /* SIGSEGV */
        lea data(%rip), %rax
        jmp *%rax
#elif defined(BAD_POINTER)              /* SIGSEGV */
        mov $0x5ead0000beef, %rax
        mov $0x12345678, %ebx
        mov (%rax), %rcx
        mov %rcx, 8(%rax)
#elif defined(NON_CANONICAL_POINTER)    /* SIGSEGV */
        mov $0xdeadbeefdeadbeef, %rax
        mov %rax, (%rax)
#elif defined(KERNEL_POINTER)           /* SIGSEGV */
        mov $0xffffffff80000000, %rax
        mov (%rax), %rcx
#elif defined(WRITE_CODE)               /* SIGSEGV */
        lea _start(%rip), %rax
        movb $0x90, (%rax)
#elif defined(NO_STACK)                 /* SIGSEGV */
        xor %esp, %esp
        push %rax
#elif defined(PRIVILEGED)               /* SIGSEGV */
        cli
#elif defined(UNDEFINED)                /* SIGILL */
        ud2
#elif defined(DIVIDE)                   /* SIGFPE: the quotient does not fit */
        mov $0x80000000, %eax
        cltd
        mov $-1, %ecx
        idiv %ecx
#elif defined(BREAKPOINT)               /* SIGTRAP */
        int3
#elif defined(MISALIGNED)               /* SIGSEGV, by a general-protection fault */
        movaps 1(%rsp), %xmm0
        movaps 2(%rsp), %xmm0
#elif defined(ABORT)                    /* SIGABRT */
        mov $39, %eax                   /* getpid */
        syscall
        mov %eax, %edi
        mov $6, %esi
        mov $62, %eax                   /* kill */
        syscall
#elif defined(SPIN)                     /* "spinning", then never anything again */
        mov $1, %eax                    /* write */
        mov $1, %edi
        lea data(%rip), %rsi
        mov $9, %edx
        syscall
        jmp .
#elif defined(SILENT_SPIN)
        jmp .
#elif defined(RUN_OFF_THE_END)          /* SIGSEGV, at the page behind the code */
        jmp last
        .org 4095, 0x90
last:   nop
#else
#error "no such program"
#endif

        .data
data:   .ascii "spinning\n"

        .section .note.GNU-stack, "", @progbits
