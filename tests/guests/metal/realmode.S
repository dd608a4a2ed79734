/* The 16-bit part of the guest realmode.c; it is copied to 0x9000 and runs in segment 0x0900. */
#define RESULTS 0x8000
#define RESULT(n) RESULTS + 2 * (n)
#define AT(label) ((label) - real_begin)

        .text
        .code32
        .globl to_real_mode, real_begin, real_end
to_real_mode:
        pusha
        mov %esp, saved_stack
        lidt real_idt
        mov $0x50, %eax                         /* limits of 64 KiB */
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov $0x10, %eax                         /* and one of 4 GiB, which stays */
        mov %eax, %fs
        ljmp $0x58, $0
back:   mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        xor %eax, %eax
        mov %eax, %fs
        mov saved_stack, %esp
        popa
        ret

        .balign 16
        .code16
real_begin:
        mov %cr0, %eax
        and $~1, %al
        mov %eax, %cr0
        ljmp $0x0900, $0x0100

        .org real_begin + 0x100, 0x90
1:      xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $0x7c00, %sp
        mov %cs, RESULT(0)
        call 2f
2:      pop %ax
        sub $(2b - 1b), %ax
        mov %ax, RESULT(1)

        movw $AT(on_interrupt), 0x60 * 4        /* the table: offset, segment */
        mov %cs, 0x60 * 4 + 2
        movw $AT(on_divide), 0
        mov %cs, 2
        movw $AT(on_timer), 0x20 * 4
        mov %cs, 0x20 * 4 + 2
        int $0x60
        mov %ax, RESULT(2)

        movw $AT(3f), RESULT(5)
        xor %cx, %cx
3:      div %cl
        mov %ax, RESULT(3)

        lcall $0x0800, $(AT(far) + 0x1000)      /* the same place by another segment */
        mov %ax, RESULT(6)

        mov $0x1000, %ax                        /* the word at offset 0xffff has its upper byte at 0x10000: #GP; */
        mov %ax, %es                            /* but bytes wrap with the index register */
        movb $0x77, %es:0
        mov $0xffff, %si
        inc %si
        mov %es:(%si), %al
        xor %ah, %ah
        mov %ax, RESULT(7)

        push %cs
        pop %ds
        xor %ax, %ax
        mov %ax, %es
        mov $AT(text), %si
        mov $RESULT(8), %di
        mov $2, %cx
        rep movsb
        mov %ax, %ds

        mov $0x200000, %ebx                     /* beyond 1 MiB */
        movw $0xbeef, %fs:(%ebx)
        mov %fs:(%ebx), %ax
        mov %ax, RESULT(9)
        smsw RESULT(10)

        mov $0x11, %al                          /* 8259: vector 0x20, only the timer */
        out %al, $0x20
        mov $0x20, %al
        out %al, $0x21
        mov $4, %al
        out %al, $0x21
        mov $1, %al
        out %al, $0x21
        mov $0xfe, %al
        out %al, $0x21
        mov $0x30, %al                          /* PIT: once in 1000 */
        out %al, $0x43
        mov $0xe8, %al
        out %al, $0x40
        mov $0x03, %al
        out %al, $0x40
        sti
        hlt
        cli
        mov $0xff, %al
        out %al, $0x21

        lgdtl %cs:AT(real_gdt)
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $0x08, $back

on_interrupt:
        mov $0x1234, %ax
        iret
on_divide:
        push %bp
        mov %sp, %bp
        mov 2(%bp), %ax
        mov %ax, RESULT(4)
        addw $2, 2(%bp)                         /* behind the DIV */
        pop %bp
        mov $0x5678, %ax
        iret
on_timer:
        push %ax
        incw RESULT(11)
        mov $0x20, %al
        out %al, $0x20
        pop %ax
        iret
far:    mov $0x9abc, %ax
        lret
text:   .ascii "ab"
        .balign 4
real_gdt:
        .word 0x77
        .long gdt
real_end:

        .data
        .balign 4
real_idt:
        .word 0x3ff
        .long 0
        .bss
        .balign 4
saved_stack:
        .skip 4

        .section .note.GNU-stack, "", @progbits
