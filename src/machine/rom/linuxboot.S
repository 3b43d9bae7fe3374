/* SPDX-License-Identifier: MIT
 *
 * Option ROM that starts the Linux kernel of fw_cfg's kernel items by the 16-bit boot protocol
 * (Documentation/x86/boot.rst): loads the real-mode code, the command line, the kernel and the
 * initial ramdisk, and jumps to the real-mode code. The machine has filled in the setup header;
 * only the ramdisk may have to move: where memory really ends is known when firmware has run.
 */
        .include "common.inc"

        .set    KERNEL_ADDR, 0x07
        .set    KERNEL_SIZE, 0x08
        .set    KERNEL_DATA, 0x11
        .set    INITRD_ADDR, 0x0a
        .set    INITRD_SIZE, 0x0b
        .set    INITRD_DATA, 0x12
        .set    CMDLINE_ADDR, 0x13
        .set    CMDLINE_SIZE, 0x14
        .set    CMDLINE_DATA, 0x15
        .set    SETUP_ADDR, 0x16
        .set    SETUP_SIZE, 0x17
        .set    SETUP_DATA, 0x18
        .set    HEADER_RAMDISK, 0x218   /* from the beginning of the setup */
        .set    ENTRY_SEGMENT, 0x20     /* from the setup's */

        /* Behind the scratch. A piece: address, size, key of the bytes. */
        .set    RANGE, LOW_SCRATCH + SCRATCH_SIZE
        .set    BEST, RANGE + 24
        .set    CODE_SEGMENT, BEST + 4
        .set    PIECES, CODE_SEGMENT + 4
        .set    PIECE_SIZE, 12
        .set    SETUP, PIECES
        .set    CMDLINE, SETUP + PIECE_SIZE
        .set    KERNEL, CMDLINE + PIECE_SIZE
        .set    INITRD, KERNEL + PIECE_SIZE
        .set    PIECES_END, INITRD + PIECE_SIZE

product:
        .asciz  "Linux loader"
no_kernel:
        .asciz  "fw_cfg holds no Linux kernel.\r\n"
no_room:
        .asciz  "There is no room in memory for the initial ramdisk.\r\n"
no_dma:
        .asciz  "The kernel could not be read from fw_cfg.\r\n"

keys:   .word   SETUP_ADDR, SETUP_SIZE, SETUP_DATA
        .word   CMDLINE_ADDR, CMDLINE_SIZE, CMDLINE_DATA
        .word   KERNEL_ADDR, KERNEL_SIZE, KERNEL_DATA
        .word   INITRD_ADDR, INITRD_SIZE, INITRD_DATA
keys_end:

boot:
        begin_boot
        movw    %cs, CODE_SEGMENT
        call    find_fw_cfg
        call    enable_a20

        movw    $keys, %si
        movw    $PIECES, %di
1:      movw    %cs:(%si), %ax
        call    item
        movl    %eax, (%di)
        movw    %cs:2(%si), %ax
        call    item
        movl    %eax, 4(%di)
        movzwl  %cs:4(%si), %eax
        movl    %eax, 8(%di)
        addw    $6, %si
        addw    $PIECE_SIZE, %di
        cmpw    $keys_end, %si
        jne     1b

        movw    $no_kernel, %si
        cmpl    $0, SETUP + 4
        je      fail
        cmpl    $0, INITRD + 4
        je      2f
        call    place_initrd
2:      movl    $LOW_SCRATCH, %eax
        movw    $load, %cx
        call    enter_flat

/* Leaves the ramdisk where the machine wants it if memory is there; else puts it at the highest
 * page below where it fits, above the kernel. */
place_initrd:
        movl    $0, BEST
        xorl    %ebx, %ebx
1:      movw    $RANGE, %di
        call    next_range
        jc      4f
        cmpl    $1, RANGE + 16          /* memory */
        jne     3f
        call    try_range
3:      testl   %ebx, %ebx
        jnz     1b
4:      movl    BEST, %eax
        movl    %eax, INITRD
        movw    $no_room, %si
        testl   %eax, %eax
        jz      fail
        ret

/* The range, cut to what lies above the kernel and does not reach higher than the ramdisk would. */
try_range:
        pushl   %ebx
        cmpl    $0, RANGE + 4           /* begins above 4 GiB */
        jne     4f
        movl    KERNEL, %eax
        addl    KERNEL + 4, %eax
        cmpl    $0x100000, %eax
        jae     0f
        movl    $0x100000, %eax
0:      cmpl    RANGE, %eax
        jae     1f
        movl    RANGE, %eax
1:      movl    RANGE, %edx
        addl    RANGE + 8, %edx
        movl    RANGE + 12, %ecx
        adcl    $0, %ecx
        movl    INITRD, %ebx
        addl    INITRD + 4, %ebx
        testl   %ecx, %ecx
        jnz     2f                      /* ends above 4 GiB */
        cmpl    %ebx, %edx
        jae     2f
        movl    %edx, %ebx
2:      subl    INITRD + 4, %ebx
        jb      4f
        andw    $0xf000, %bx
        cmpl    %eax, %ebx
        jb      4f
        cmpl    BEST, %ebx
        jbe     4f
        movl    %ebx, BEST
4:      popl    %ebx
        ret

        .code32
load:
        movl    $PIECES, %esi
1:      movl    8(%esi), %eax
        movw    $FW_CFG_SELECTOR, %dx
        outw    %ax, %dx
        movl    (%esi), %edi
        movl    4(%esi), %ecx
        call    fetch
        jc      2f
        addl    $PIECE_SIZE, %esi
        cmpl    $PIECES_END, %esi
        jne     1b
        cmpl    $0, INITRD + 4
        je      2f                      /* carry is clear */
        movl    SETUP, %edi
        movl    INITRD, %eax
        movl    %eax, HEADER_RAMDISK(%edi)
        clc
2:      sbbl    %ecx, %ecx              /* keeps the carry */
        ljmpl   $SELECT_ROM_CODE_16, $leave

        .code16
leave:
        movw    $SELECT_REAL_DATA, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        movw    %ax, %ss
        movl    %cr0, %eax
        andb    $0xfe, %al
        movl    %eax, %cr0
        pushw   CODE_SEGMENT
        pushw   $real
        lretw
real:
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $no_dma, %si
        testl   %ecx, %ecx
        jnz     fail

        /* The stack is below the command line, in the segment of the setup. */
        movl    CMDLINE, %ecx
        movl    SETUP, %eax
        subl    %eax, %ecx
        subl    $16, %ecx
        andw    $0xfff0, %cx
        shrl    $4, %eax
        movw    %ax, %ss
        movl    %ecx, %esp
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        addw    $ENTRY_SEGMENT, %ax
        pushw   %ax
        pushw   $0
        lretw
