/*
 * The way from a multiboot 1 loader to main(). Multiboot Specification 0.6.96, §3.1 (header) and §3.2 (machine
 * state: protected mode, flat segments, paging off, EAX the magic number, EBX the information). A 64-bit guest
 * goes on to long mode (SDM vol. 3A §10.8.5) with the first 4 GiB mapped to themselves by 2 MiB pages.
 */
#define ALIGN_MODULES           1
#define WANT_MEMORY_MAP         2
#define ADDRESSES_IN_HEADER     0x10000

#ifdef HEADER_ADDRESSES         /* for loaders that cannot read the file's format: flat, ELF64 */
#define FLAGS (ALIGN_MODULES | WANT_MEMORY_MAP | ADDRESSES_IN_HEADER)
#else
#define FLAGS (ALIGN_MODULES | WANT_MEMORY_MAP)
#endif

        .section .multiboot, "ax"
        .balign 4
header: .long 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
#ifdef HEADER_ADDRESSES
        .long header, image, image_end, bss_end, start
#endif

        .text
        .code32
        .globl start
start:  cli
        cld
        mov $stack_end, %esp
        mov %eax, boot_magic
        mov %ebx, boot_information
        lgdt gdt_pointer
#ifdef __x86_64__
        mov $page_directories, %edi             /* 4 GiB of large pages: present, writable, user */
        mov $0x87, %eax
        xor %edx, %edx
1:      mov %eax, (%edi)
        mov %edx, 4(%edi)
        add $8, %edi
        add $0x200000, %eax
        jnc 1b
        mov $page_directories + 7, %eax
        mov %eax, pdpt
        add $0x1000, %eax
        mov %eax, pdpt + 8
        add $0x1000, %eax
        mov %eax, pdpt + 16
        add $0x1000, %eax
        mov %eax, pdpt + 24
        movl $pdpt + 7, pml4
        mov $pml4, %eax
        mov %eax, %cr3
        mov %cr4, %eax
        or $0x20, %eax                          /* PAE */
        mov %eax, %cr4
        mov $0xc0000080, %ecx                   /* EFER */
        rdmsr
        or $0x100, %eax                         /* LME */
        wrmsr
        mov %cr0, %eax
        or $0x80000001, %eax                    /* PG, PE */
        mov %eax, %cr0
#endif
        ljmp $0x08, $flat

#ifdef __x86_64__
        .code64
#endif
flat:   mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        xor %eax, %eax
        mov %eax, %fs
        mov %eax, %gs
        call prepare
        call main
#ifdef __x86_64__
        mov %eax, %edi
#else
        push %eax
#endif
        call end

/* Interrupt stubs, 16 bytes each: the frame of the exceptions without an error code gets one. */
        .balign 16
        .globl vector_stubs
vector_stubs:
        vector = 0
        .rept 256
        .balign 16
        .if vector != 8 && vector != 17 && (vector < 10 || vector > 14)
        push $0
        .endif
        push $vector
        jmp common_stub
        vector = vector + 1
        .endr

common_stub:
#ifdef __x86_64__
        push %rax; push %rbx; push %rcx; push %rdx; push %rsi; push %rdi; push %rbp
        push %r8; push %r9; push %r10; push %r11; push %r12; push %r13; push %r14; push %r15
        cld
        mov %rsp, %rdi
        call dispatch
        .globl return_from_interrupt
return_from_interrupt:
        pop %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; pop %r8
        pop %rbp; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rbx; pop %rax
        add $16, %rsp
        iretq
#else
        pusha
        cld
        push %esp
        call dispatch
        add $4, %esp
        .globl return_from_interrupt
return_from_interrupt:
        popa
        add $8, %esp
        iret
#endif

/* void enter_ring3(entry, stack): returns when leave_ring3() has been called by a handler. */
        .globl enter_ring3, leave_ring3
enter_ring3:
#ifdef __x86_64__
        push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
        mov %rsp, ring0_stack
        mov %rsp, tss + 4
        pushq $0x23
        push %rsi
        pushq $2
        pushq $0x2b
        push %rdi
        iretq
leave_ring3:
        mov ring0_stack, %rsp
        pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
        ret
#else
        mov 4(%esp), %eax
        mov 8(%esp), %edx
        push %ebx; push %ebp; push %esi; push %edi
        mov %esp, ring0_stack
        mov %esp, tss + 4
        mov $0x23, %ecx
        mov %ecx, %ds
        mov %ecx, %es
        push %ecx
        push %edx
        push $2
        push $0x2b
        push %eax
        iret
leave_ring3:
        mov ring0_stack, %esp
        mov $0x10, %ecx
        mov %ecx, %ds
        mov %ecx, %es
        pop %edi; pop %esi; pop %ebp; pop %ebx
        ret
#endif

        .data
        .balign 8
        .globl gdt, gdt_pointer
/* The user segments stand in the order that SYSRET wants: 32-bit code, data, 64-bit code. */
gdt:    .quad 0
#ifdef __x86_64__
        .quad 0x00af9b000000ffff                /* 08 ring 0 code */
#else
        .quad 0x00cf9b000000ffff
#endif
        .quad 0x00cf93000000ffff                /* 10 ring 0 data */
        .quad 0x00cffb000000ffff                /* 18 ring 3 code, 32-bit */
        .quad 0x00cff3000000ffff                /* 20 ring 3 data */
#ifdef __x86_64__
        .quad 0x00affb000000ffff                /* 28 ring 3 code */
#else
        .quad 0x00cffb000000ffff
#endif
        .quad 0, 0                              /* 30 TSS */
        .quad 0x00cf9b000000ffff                /* 40 ring 0 code, 32-bit */
        .quad 0x00009b000000ffff                /* 48 ring 0 code, 16-bit */
        .quad 0x000093000000ffff                /* 50 ring 0 data, 64 KiB */
        .quad 0, 0, 0, 0                        /* 58 to 70: for the guests */
gdt_end:
gdt_pointer:
        .word gdt_end - gdt - 1
        .long gdt, 0

        .bss
        .balign 4096
        .globl pml4, pdpt, page_directories, stack_end, boot_magic, boot_information
#ifdef __x86_64__
pml4:   .skip 4096
pdpt:   .skip 4096
page_directories:
        .skip 4 * 4096
#endif
        .skip 16384
stack_end:
boot_magic:
        .skip 4
boot_information:
        .skip 4
ring0_stack:
        .skip 8

        .section .note.GNU-stack, "", @progbits
