/* The ring 3 side of syscalls.c, and its SYSCALL entry. It runs where it is linked: all pages are the user's too. */
        .text
        .globl user_begin, user_spin, syscall_entry
user_begin:
        mov $21, %eax
        int $0x80
        mov %eax, %ebx
        mov $0x11, %eax
        syscall
        mov $0x22, %eax
        syscall
        lea 1f(%rip), %r12
        std
        pushf
        pop %r14
        mov $0x33, %eax
        syscall
1:      mov %rax, %r13
        cld
        ud2

/* Turns interrupts on by SYSRET, spins until one has come. */
user_spin:
        xor %eax, %eax
        mov $0x202, %r15d
        syscall
1:      cmpq $0, interrupts
        je 1b
        ud2

syscall_entry:
        incq syscall_count
        mov %rcx, syscall_rcx
        mov %r11, syscall_flags
        cld
        or %r15, %r11
        mov $0x77, %eax
        sysretq

        .section .note.GNU-stack, "", @progbits
