/* SPDX-License-Identifier: MIT
 *
 * Disassembly of x86 code for readers, logs and plugins. Zydis decodes; Intel syntax is Zydis' own
 * with small changes, AT&T syntax is printed here, as people know it from QEMU's -d in_asm: every
 * integer instruction has a size suffix, numbers up to 9 are decimal.
 *
 *     movq     %rsp, %rdi            mov rdi, rsp
 *     lock xaddl %eax, 8(%rdi)       lock xadd [rdi+8], eax
 *
 * Nothing is kept between calls; any thread may call. Allocates only what the text needs, takes no
 * lock.
 *
 * Read in this order: this header, disas.c (one instruction, Intel), att.c, block.c (listings).
 */
#ifndef DISAS_DISAS_H
#define DISAS_DISAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

enum { DISAS_LENGTH_MAX = 15 }; /* bytes of an instruction (SDM vol. 2, 2.3.11) */

enum disas_mode { DISAS_16, DISAS_32, DISAS_64 };

enum disas_syntax { DISAS_ATT, DISAS_INTEL };

/* How code is shown. */
struct disas_style {
    enum disas_mode mode;
    enum disas_syntax syntax;
    /* Adds the name of an address to `text` and returns true, or false and nothing. Asked for the
     * targets of direct branches and of RIP-relative operands, which then get " <NAME>" behind the
     * instruction. NULL: no names. */
    bool (*name)(void *opaque, uint64_t address, struct strbuf *text);
    void *opaque;
};

/* Adds the instruction at the front of `bytes` to `text`, mnemonic and operands, without a newline.
 * `pc` is its address. Returns its length. Bytes that are no instruction, or not a whole one, give
 * ".byte    0x06" and 1; `size` 0 gives nothing and 0. */
unsigned disas_insn(const struct disas_style *style, const void *bytes, size_t size, uint64_t pc,
                    struct strbuf *text);

/* Adds a line of a listing as in QEMU's logs, with its newline, or two lines where there are more
 * than eight bytes:
 *
 *     0x7f8dd4000117:  49 bc 78 5b 82 02 40 00  movabsq  $0x4002825b78, %r12
 *     0x7f8dd400011f:  00 00
 *
 * Returns the length, as disas_insn(). */
unsigned disas_line(const struct disas_style *style, const void *bytes, size_t size, uint64_t pc,
                    struct strbuf *text);

/* A block of guest code as -d in_asm shows it:
 *
 *     ----------------
 *     IN: SYMBOL
 *     0x00401000:  90                       nop
 *     (empty line)
 *
 * `symbol` may be NULL. */
void disas_in_asm(const struct disas_style *style, const char *symbol, const void *bytes,
                  size_t size, uint64_t pc, struct strbuf *text);

/* Where something begins in a block's host code. In ascending order; the first has offset 0. */
struct disas_mark {
    size_t offset;
    uint64_t guest;    /* pc of the guest instruction whose code follows */
    const char *note;  /* NULL, or text: " + tb prologue" behind the pc */
    const char *title; /* NULL, or a line of its own in place of "guest addr ...": "slow paths" */
    bool data;         /* words of 8 bytes follow, no code */
};

/* The host code of a block as -d out_asm shows it, which begins with a line "OUT: [size=74]" and
 * ends with an empty one; at each mark "  -- guest addr 0x0000004002825b70". `pc` is the address of
 * the code. `style` is that of the host. */
void disas_out_asm(const struct disas_style *style, const void *bytes, size_t size, uint64_t pc,
                   const struct disas_mark *mark, size_t marks, struct strbuf *text);

#endif
