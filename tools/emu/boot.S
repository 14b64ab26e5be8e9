/* boot: the firmware of the emulated machine, 64 KiB that end at 4 GiB.
 *
 * It does what Linux's 64-bit boot protocol asks of a loader and nothing else
 * (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"): long mode with the first 4 GiB mapped
 * one to one, interrupts off, the flat segments 0x10 and 0x18, boot_params in rsi, then a jump to the
 * kernel's entry. The kernel, its file system, the page tables and boot_params lie in memory already:
 * the emulator puts them there, so that no emulated time goes into a BIOS, a disk or decompression.
 *
 * IMAGE_START, IMAGE_END, PAGE_TABLES, BOOT_PARAMS and KERNEL_ENTRY (physical addresses) are given by
 * run-avx512. */

#define CODE_SEGMENT 0x10 /* __BOOT_CS */
#define DATA_SEGMENT 0x18 /* __BOOT_DS */
#define CODE32_SEGMENT 0x20
#define BLOCK_BYTES 0x20000 /* "mem block size" in Bochs's log */
#define ROM_BASE 0xf0000    /* where the last 64 KiB are seen below 1 MiB */

    .section .text
    .code16
start: /* real mode, cs = 0xf000, so the offsets in this ROM are the addresses */
    cli
    cld
    lgdtl %cs:gdt_pointer - start
    movl %cr0, %eax
    orl $1, %eax /* PE */
    movl %eax, %cr0
    ljmpl $CODE32_SEGMENT, $(ROM_BASE + protected - start)

    .code32
protected:
    movl $DATA_SEGMENT, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss

    /* Bochs 2.7 loads the image into consecutive blocks of its pool, but maps only the first: each
     * other block is given to the guest address that is touched first. So touch them in order. */
    movl $IMAGE_START, %esi
touch:
    movb (%esi), %al
    addl $BLOCK_BYTES, %esi
    cmpl $IMAGE_END, %esi
    jb touch

    movl %cr4, %eax
    orl $0x20, %eax /* PAE */
    movl %eax, %cr4
    movl $PAGE_TABLES, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx /* EFER */
    rdmsr
    orl $0x100, %eax /* LME */
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax /* PG */
    movl %eax, %cr0
    ljmpl $CODE_SEGMENT, $(ROM_BASE + long_mode - start)

    .code64
long_mode:
    movl $BOOT_PARAMS, %esi
    movl $KERNEL_ENTRY, %eax
    jmp *%rax

    /* Present, flat, and accessed from the start: a ROM cannot take the accessed bit. */
    .balign 8
gdt:
    .quad 0
    .quad 0
    .quad 0x00af9b000000ffff /* 0x10: 64-bit code */
    .quad 0x00cf93000000ffff /* 0x18: data */
    .quad 0x00cf9b000000ffff /* 0x20: 32-bit code */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long ROM_BASE + gdt - start

    .org 0xfff0 /* the processor's first instruction: jmp start, over the end of 16 bits */
    .byte 0xe9
    .word 0x10000 - 0xfff3
    .org 0x10000
