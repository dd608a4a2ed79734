/* The two sides of nested.c: how its guest is entered, and what the guest executes. */
        .text
        .globl run_guest, guest_begin

/* run_guest(vmcb, registers): to the next exit. `registers` are the guest's general registers in encoding order; RAX and RSP
 * are in the VMCB. Interrupts are let in once after the exit. */
run_guest:
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        push %rsi
        mov %rdi, %rax
        mov 8(%rsi), %rcx
        mov 16(%rsi), %rdx
        mov 24(%rsi), %rbx
        mov 40(%rsi), %rbp
        mov 56(%rsi), %rdi
        mov 64(%rsi), %r8
        mov 72(%rsi), %r9
        mov 80(%rsi), %r10
        mov 88(%rsi), %r11
        mov 96(%rsi), %r12
        mov 104(%rsi), %r13
        mov 112(%rsi), %r14
        mov 120(%rsi), %r15
        mov 48(%rsi), %rsi
        sti
        clgi                                    /* what arrives from here on waits for the guest, and ends it */
        vmrun %rax
        mov (%rsp), %rax
        mov %rcx, 8(%rax)
        mov %rdx, 16(%rax)
        mov %rbx, 24(%rax)
        mov %rbp, 40(%rax)
        mov %rsi, 48(%rax)
        mov %rdi, 56(%rax)
        mov %r8, 64(%rax)
        mov %r9, 72(%rax)
        mov %r10, 80(%rax)
        mov %r11, 88(%rax)
        mov %r12, 96(%rax)
        mov %r13, 104(%rax)
        mov %r14, 112(%rax)
        mov %r15, 120(%rax)
        stgi
        nop
        cli
        pop %rsi
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        ret

/* The guest: computes in RBX and R8 to R15, and makes an exit of each kind in turn. What the exits bring goes into the sum. */
guest_begin:
        mov $0x9e3779b97f4a7c15, %r15
        mov $1, %ebx
1:      call compute
        in $0x61, %al                           /* not intercepted: the guest's own exit to the machine */
        call compute
        vmmcall
        add %rax, %rbx
        call compute
        in $0x80, %al
        movzbl %al, %eax
        add %rax, %rbx
        call compute
        xor %eax, %eax
        push %rbx
        cpuid
        pop %rbx
        add %rax, %rbx
        call compute
        hlt
        jmp 1b

compute:
        mov $3000, %ebp
2:      imul %r15, %rbx
        mov %rbx, %r8
        shr $29, %r8
        xor %r8, %rbx
        lea (%rbx,%rbp), %r9
        ror $17, %r9
        xor %r9, %r10
        add %r10, %r11
        xor %r11, %r12
        add %r12, %r13
        lea 7(%r13,%r14), %r14
        dec %ebp
        jnz 2b
        ret
