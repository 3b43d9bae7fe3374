/* SPDX-License-Identifier: MIT
 *
 * A Linux kernel file that says on the debug console how it was started, and ends the machine. Built
 * by boot_test.py with VERSION (of the boot protocol; 0: no header) and HIGH (1: a bzImage).
 * The real-mode code is entered as Documentation/x86/boot.rst says; it goes on in 32-bit code at
 * the beginning of the kernel. */
        .set    CONSOLE, 0xe9
        .set    END, 0xf4
        .set    SECTORS, 4
        .set    KERNEL_SIZE, 0x30000
        .set    COMMAND_MAGIC, 0xa33f

        .text
        .code16
sector:
        .org    0x1f1
        .byte   SECTORS
        .org    0x1f4
        .long   KERNEL_SIZE / 16
        .org    0x1fe
        .word   0xaa55
        .byte   0xeb, setup - . - 1
        .if     VERSION
        .ascii  "HdrS"
        .word   VERSION
        .org    0x211
        .byte   HIGH
        .org    0x214
        .if     HIGH
        .long   0x100000
        .else
        .long   0x10000
        .endif
        .org    0x22c
        .long   0x7fffffff
        .endif

        .org    0x270
setup:
        pushw   %sp
        pushw   %ss
        pushw   %gs
        pushw   %fs
        pushw   %es
        pushw   %ds
        pushw   %cs
        movw    $7, %cx
1:      popw    %ax
        movzwl  %ax, %eax
        call    number
        loop    1b
        pushfw
        popw    %ax
        andl    $0x200, %eax            /* IF */
        call    number
        call    newline

        movzbl  0x210, %eax             /* type_of_loader */
        call    number
        movzwl  0x224, %eax             /* heap_end_ptr */
        call    number
        movzbl  0x211, %eax             /* loadflags */
        call    number
        movzwl  0x1fa, %eax             /* vid_mode */
        call    number
        call    newline

        .if     VERSION >= 0x202
        movl    0x228, %eax
        movl    %eax, %esi
        andl    $15, %esi
        shrl    $4, %eax
        movw    %ax, %es
        .else
        movw    0x22, %si
        cmpw    $COMMAND_MAGIC, 0x20
        jne     finish
        .endif
2:      movb    %es:(%si), %al
        incw    %si
        testb   %al, %al
        jz      3f
        outb    %al, $CONSOLE
        jmp     2b
3:      call    newline

        movw    %ds, %ax
        movzwl  %ax, %esi
        shll    $4, %esi
        addl    %esi, gdtr + 2
        lgdtl   gdtr
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        .if     VERSION
        movl    0x214, %eax
        .else
        movl    $0x10000, %eax
        .endif
        movl    %eax, entry
        ljmpl   *entry

finish:
        movb    $1, %al
        outb    %al, $END
        hlt

number:
        pushw   %cx
        pushl   %eax
        movb    $' ', %al
        outb    %al, $CONSOLE
        popl    %eax
        movw    $8, %cx
1:      roll    $4, %eax
        pushw   %ax
        andb    $15, %al
        cmpb    $10, %al
        sbbb    $0x69, %al
        das
        outb    %al, $CONSOLE
        popw    %ax
        loop    1b
        popw    %cx
        ret

newline:
        movb    $'\n', %al
        outb    %al, $CONSOLE
        ret

        .balign 8
gdt:    .quad   0
        .word   0xffff, 0, 0x9b00, 0x00cf
        .word   0xffff, 0, 0x9300, 0x00cf
gdtr:   .word   gdtr - gdt - 1
        .long   gdt
entry:  .long   0
        .word   8

        .org    (SECTORS + 1) * 512

/* --- the kernel; %esi: the real-mode code --- */

        .code32
kernel:
        movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        call    1f
1:      popl    %ebx
        leal    kernel - 1b(%ebx), %ebx
        movl    %ebx, %eax
        call    number32
        movl    KERNEL_SIZE - 4(%ebx), %eax /* all of it is there */
        call    number32
        movl    0x218(%esi), %edi       /* ramdisk_image */
        movl    %edi, %eax
        call    number32
        movl    0x21c(%esi), %eax       /* ramdisk_size */
        call    number32
        testl   %eax, %eax
        jz      2f
        addl    %eax, %edi
        movl    -4(%edi), %eax          /* its end */
        call    number32
2:      movb    $'\n', %al
        outb    %al, $CONSOLE
        xorl    %eax, %eax
        outb    %al, $END
        hlt

number32:
        pushl   %eax
        movb    $' ', %al
        outb    %al, $CONSOLE
        popl    %eax
        movl    $8, %ecx
1:      roll    $4, %eax
        pushl   %eax
        andb    $15, %al
        cmpb    $10, %al
        sbbb    $0x69, %al
        das
        outb    %al, $CONSOLE
        popl    %eax
        loop    1b
        ret

        .org    (SECTORS + 1) * 512 + KERNEL_SIZE - 4
        .long   0x89abcdef
