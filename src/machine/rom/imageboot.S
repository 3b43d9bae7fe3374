/* SPDX-License-Identifier: MIT
 *
 * Option ROM that starts a 32-bit image: a multiboot kernel (Multiboot Specification 0.6.96) or one
 * with Xen's PVH entry (struct hvm_start_info). The machine has made the file etc/boot-image of it
 * (boot_image.c): a block of low memory, which holds all that the kernel is told, and then the bytes
 * of the pieces that go to their places. The ROM adds what firmware knows: the memory map, the sizes
 * of memory, where the ACPI tables are.
 *
 * From the loading of the pieces on, nothing outside of the block is needed, so that a kernel may
 * lie anywhere else.
 */
        .include "common.inc"

        .set    FW_CFG_FILE_DIR, 0x19
        .set    ENTRY_SIZE, 64          /* of the directory */
        .set    ENTRY_KEY, 4
        .set    ENTRY_NAME, 8

        /* The block begins with a header: struct boot_image_header. */
        .set    MAGIC, 0
        .set    BLOCK, 4                /* its address, a multiple of 16 */
        .set    BLOCK_BYTES, 8          /* of it in the file */
        .set    SCRATCH, 12             /* offsets in it */
        .set    STACK_TOP, 16
        .set    MAP, 20
        .set    MAP_ROOM, 24            /* entries */
        .set    MAP_PREFIX, 28          /* bytes in front of an entry, for its size */
        .set    KIND, 32
        .set    ENTRY, 36
        .set    INFO, 40                /* offset: what the kernel gets */
        .set    PIECE_TABLE, 44         /* offset */
        .set    PIECE_COUNT, 48
        .set    HEADER_SIZE, 52

        .set    IMAGE_MAGIC, 0x544f4256 /* "VBOT" */
        .set    KIND_MULTIBOOT, 1
        .set    MAP_STRIDE, 24
        .set    MEMORY, 1               /* type of an entry */

        .set    PIECE_ADDRESS, 0
        .set    PIECE_BYTES, 4          /* from the file */
        .set    PIECE_ZEROS, 8          /* behind them */
        .set    PIECE_SIZE, 12

        .set    MULTIBOOT_MAGIC, 0x2badb002
        .set    MULTIBOOT_LOWER, 4
        .set    MULTIBOOT_UPPER, 8
        .set    MULTIBOOT_MAP_LENGTH, 44
        .set    MULTIBOOT_FRAMEBUFFER, 0x1000 /* flag */
        .set    BIOS_VIDEO_MODE, 0x449
        .set    TEXT_80_25, 3
        .set    VIDEO_VECTOR_SEGMENT, 0x42 /* of INT 10h */
        .set    VIDEO_ROM, 0xc000
        .set    PVH_RSDP, 32
        .set    PVH_MAP_ENTRIES, 48

        /* Behind the scratch in low memory. */
        .set    IMAGE_KEY, LOW_SCRATCH + SCRATCH_SIZE
        .set    ENTRIES, IMAGE_KEY + 4  /* of the memory map */
        .set    LOWER, ENTRIES + 4
        .set    HEADER, LOWER + 4
        .set    DIRECTORY, HEADER + HEADER_SIZE

product:
        .asciz  "Image loader"
file:   .asciz  "etc/boot-image"
file_end:
no_file:
        .asciz  "fw_cfg holds no image to boot.\r\n"
no_dma:
        .asciz  "The image could not be read from fw_cfg.\r\n"

boot:
        begin_boot
        call    find_fw_cfg
        call    enable_a20
        call    find_file
        movw    IMAGE_KEY, %ax
        movw    $HEADER, %di
        movw    $HEADER_SIZE, %cx
        call    select
        call    read_bytes
        movw    $no_file, %si
        cmpl    $IMAGE_MAGIC, HEADER + MAGIC
        jne     fail

        call    block_segment
        call    read_map
        int     $0x12                   /* low memory in KiB */
        movzwl  %ax, %eax
        movl    %eax, LOWER

        movw    IMAGE_KEY, %ax
        call    select
        call    block_segment
        xorw    %di, %di
        movw    HEADER + BLOCK_BYTES, %cx
        call    read_bytes              /* the pieces follow */
        movl    HEADER + BLOCK, %eax
        addl    HEADER + SCRATCH, %eax
        movw    $load, %cx
        call    enter_flat

/* %cx bytes of the selected item to %es:%di. */
read_bytes:
        movw    $FW_CFG_DATA, %dx
        rep insb
        ret

block_segment:
        movl    HEADER + BLOCK, %eax
        shrl    $4, %eax
        movw    %ax, %es
        ret

/* The key of our file to IMAGE_KEY. */
find_file:
        movw    $FW_CFG_FILE_DIR, %ax
        call    item
        bswapl  %eax
        movl    %eax, %ebx              /* files */
1:      movw    $no_file, %si
        subl    $1, %ebx
        jb      fail
        movw    $DIRECTORY, %di
        movw    $ENTRY_SIZE, %cx
        call    read_bytes
        movw    $DIRECTORY + ENTRY_NAME, %di
        movw    $file, %si
        movw    $file_end - file, %cx
        repe cmpsb %es:(%di), %cs:(%si)
        jne     1b
        movw    DIRECTORY + ENTRY_KEY, %ax
        xchgb   %al, %ah
        movw    %ax, IMAGE_KEY
        ret

/* Writes the memory map to its place in the block at %es, and how long it is to ENTRIES. */
read_map:
        movl    $0, ENTRIES
        xorl    %ebx, %ebx
        movw    HEADER + MAP, %di
1:      movl    $0, %es:20(%di)
        movl    $MAP_ENTRY, %es:(%di)   /* the prefix, if there is one */
        pushw   %di
        addw    HEADER + MAP_PREFIX, %di
        call    next_range
        popw    %di
        jc      2f
        addw    $MAP_STRIDE, %di
        incl    ENTRIES
        movl    ENTRIES, %eax
        cmpl    HEADER + MAP_ROOM, %eax
        jae     2f
        testl   %ebx, %ebx
        jnz     1b
2:      ret

/* --- 32-bit code --- */

        .code32
load:
        movl    HEADER + BLOCK, %ebx
        movl    %ebx, %esp
        addl    STACK_TOP(%ebx), %esp
        movl    LOW_SCRATCH + SCRATCH_FEATURES, %eax
        movl    %eax, SCRATCH_FEATURES(%ebp)
        pushl   LOWER
        pushl   ENTRIES

        movl    PIECE_TABLE(%ebx), %esi
        addl    %ebx, %esi
1:      subl    $1, PIECE_COUNT(%ebx)
        jb      2f
        movl    PIECE_ADDRESS(%esi), %edi
        movl    PIECE_BYTES(%esi), %ecx
        call    fetch
        jc      fail_flat
        movl    PIECE_ZEROS(%esi), %ecx
        xorl    %eax, %eax
        rep stosb
        addl    $PIECE_SIZE, %esi
        jmp     1b

2:      popl    %ecx                    /* entries of the map */
        popl    %edx                    /* low memory in KiB */
        movl    INFO(%ebx), %edi
        addl    %ebx, %edi
        cmpl    $KIND_MULTIBOOT, KIND(%ebx)
        jne     3f
        movl    %edx, MULTIBOOT_LOWER(%edi)
        imull   $MAP_STRIDE, %ecx, %eax
        movl    %eax, MULTIBOOT_MAP_LENGTH(%edi)
        call    upper_memory
        movl    %eax, MULTIBOOT_UPPER(%edi)
        cmpw    $VIDEO_ROM, VIDEO_VECTOR_SEGMENT
        jne     5f                      /* no display */
        cmpb    $TEXT_80_25, BIOS_VIDEO_MODE
        jne     5f
        orl     $MULTIBOOT_FRAMEBUFFER, (%edi)
5:      movl    $MULTIBOOT_MAGIC, %eax
        jmp     4f
3:      movl    %ecx, PVH_MAP_ENTRIES(%edi)
        call    find_rsdp
        movl    %eax, PVH_RSDP(%edi)
        xorl    %eax, %eax
4:      movl    ENTRY(%ebx), %edx
        movl    %edi, %ebx
        pushl   $2
        popfl
        pushl   $SELECT_FLAT_CODE
        pushl   %edx
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        xorl    %esi, %esi
        xorl    %edi, %edi
        xorl    %ebp, %ebp
        lretl

fail_flat:
        movl    $no_dma, %esi
        movw    $DEBUG_CONSOLE, %dx
1:      movb    %cs:(%esi), %al
        incl    %esi
        testb   %al, %al
        jz      2f
        outb    %al, %dx
        jmp     1b
2:      hlt
        jmp     2b

/* KiB of memory from 1 MiB on without a hole, from the %ecx entries of the map at %ebx's block, to
 * %eax. Keeps %ebx, %edi. */
upper_memory:
        movl    MAP(%ebx), %esi
        addl    %ebx, %esi
        addl    MAP_PREFIX(%ebx), %esi
1:      subl    $1, %ecx
        jb      3f
        cmpl    $MEMORY, 16(%esi)
        jne     2f
        cmpl    $0, 4(%esi)
        jne     2f
        movl    (%esi), %eax
        cmpl    $0x100000, %eax
        ja      2f
        xorl    %edx, %edx
        addl    8(%esi), %eax
        adcl    12(%esi), %edx
        subl    $0x100000, %eax
        sbbl    $0, %edx
        jb      2f                      /* ends below */
        shrdl   $10, %edx, %eax
        ret
2:      addl    $MAP_STRIDE, %esi
        jmp     1b
3:      xorl    %eax, %eax
        ret

/* The Root System Description Pointer (ACPI 5.2.5.1) to %eax: in the first KiB of the extended BIOS
 * data area, or from 0xe0000 to 0xfffff. 0: there is none. Keeps %ebx, %edi. */
find_rsdp:
        movzwl  0x40e, %esi
        shll    $4, %esi
        leal    1024(%esi), %edx
        call    1f
        jnz     9f
        movl    $0xe0000, %esi
        movl    $0x100000, %edx
1:      cmpl    $0x20445352, (%esi)     /* "RSD " */
        jne     3f
        cmpl    $0x20525450, 4(%esi)    /* "PTR " */
        jne     3f
        xorl    %eax, %eax
        movl    $20, %ecx
2:      addb    -1(%esi, %ecx), %al
        loop    2b
        testb   %al, %al
        jnz     3f
        movl    %esi, %eax
        testl   %eax, %eax
        ret
3:      addl    $16, %esi
        cmpl    %edx, %esi
        jb      1b
        xorl    %eax, %eax
9:      ret
