/* SPDX-License-Identifier: MIT
 *
 * Instructions that are executed in C: those whose lowering is a call of a helper.
 *
 * A helper gets the CPU record, in which all guest state is, with state.pc at the instruction, and
 * the decoded instruction. On success it has done all the instruction does, state.pc is the next,
 * and it returns true. Otherwise it returns false with the guest's exception in `fault`, and
 * nothing has changed, memory included: all pages are asked for before the first store.
 *
 * Files: helpers.c (the table, memory, CPUID, flags, time), helpers_fpu.c (XSAVE and its
 * relatives), helpers_segment.c (selectors, bases, far transfers); accesses.c (what instructions do
 * to memory, for who wants to be told).
 */
#ifndef GUEST_X86_HELPERS_H
#define GUEST_X86_HELPERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/x86/x86.h"
#include "ir/guest.h"

/* Exception vectors that helpers raise (SDM vol. 3, table 6-1). */
enum x86_vector {
    X86_VECTOR_DE = 0,
    X86_VECTOR_DB = 1,
    X86_VECTOR_NMI = 2,
    X86_VECTOR_BP = 3,
    X86_VECTOR_OF = 4,
    X86_VECTOR_BR = 5,
    X86_VECTOR_UD = 6,
    X86_VECTOR_NM = 7,
    X86_VECTOR_DF = 8,
    X86_VECTOR_TS = 10,
    X86_VECTOR_NP = 11,
    X86_VECTOR_SS = 12,
    X86_VECTOR_GP = 13,
    X86_VECTOR_PF = 14,
    X86_VECTOR_MF = 16,
    X86_VECTOR_AC = 17,
    X86_VECTOR_MC = 18,
    X86_VECTOR_XM = 19,
};

/* Bits of RFLAGS beside enum native_flag. */
enum x86_rflags {
    X86_FLAG_ONE = 0x2, /* always set */
    X86_FLAG_TF = 0x100,
    X86_FLAG_IF = 0x200,
    X86_FLAG_IOPL = 0x3000,
    X86_FLAG_NT = 0x4000,
    X86_FLAG_RF = 0x10000,
    X86_FLAG_VM = 0x20000,
    X86_FLAG_AC = 0x40000,
    X86_FLAG_VIF = 0x80000,
    X86_FLAG_VIP = 0x100000,
    X86_FLAG_ID = 0x200000,
    X86_FLAGS_SYSTEM = X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_ID, /* a program's */
    X86_FLAGS_KEPT = X86_FLAGS_SYSTEM | X86_FLAG_IF | X86_FLAG_IOPL | X86_FLAG_RF | X86_FLAG_VM |
                     X86_FLAG_VIF | X86_FLAG_VIP, /* in system mode */
};

/* Error code of a page fault. */
enum { X86_PF_PRESENT = 1, X86_PF_WRITE = 2, X86_PF_USER = 4 };

struct x86_fault {
    uint32_t vector;
    uint32_t error;   /* 0 where there is none */
    bool has_error;   /* the exception pushes an error code */
    bool new_task;    /* of the task that was being switched to: the state is that task's */
    uint64_t address; /* of a page fault: the first byte that cannot be accessed; of a debug
                         exception: bits for DR6 */
};

/* Guest memory and code, as helpers reach them; x86_cpu.memory points to one. The functions return
 * false, with the first address that cannot be accessed, where the guest would get a page fault.
 * They may be called for any address that is canonical, on the vCPU's thread. */
struct x86_memory_access {
    void *opaque;
    bool (*read)(void *opaque, uint64_t address, void *to, size_t size, uint64_t *fault_address);
    bool (*write)(void *opaque, uint64_t address, const void *from, size_t size,
                  uint64_t *fault_address);
    /* Could all of this be written? Changes nothing that the guest can see. */
    bool (*probe_write)(void *opaque, uint64_t address, size_t size, uint64_t *fault_address);
    /* Is there memory at the address that did not allow the access? For the error code; NULL: it
     * counts as absent. */
    bool (*present)(void *opaque, uint64_t address);
    /* The guest address of the instruction that was translated to the one at `host_pc`; host_pc
     * itself where that is not in the code cache. NULL: addresses are the guest's. */
    uint64_t (*guest_pc)(void *opaque, uint64_t host_pc);
};

/* One-to-one memory: the guest's addresses are this process's. Goes through the kernel
 * (process_vm_readv), so that a bad address is an answer and not a signal. It knows nothing of
 * pages that somebody has protected behind the guest's back: whoever does wraps it. */
extern const struct x86_memory_access x86_direct_memory;

typedef bool x86_helper_fn(struct x86_cpu *cpu, const struct x86_insn *insn,
                           struct x86_fault *fault);

enum { X86_LOWERINGS_COUNT = X86_LOWER_PRIVILEGED + 1 };

/* By enum x86_lowering; NULL where C does not do it. */
extern x86_helper_fn *const x86_helpers[X86_LOWERINGS_COUNT];

/* Linear address of the memory operand of the modrm byte. Segment bases of FS and GS count, with an
 * address size of 32 bits (NATIVE_67) before them. */
uint64_t x86_effective_address(const struct x86_cpu *cpu, const struct x86_insn *insn);

/* RFLAGS as PUSHF and a signal frame show it in user mode, and the other way around: of what is
 * given, the bits that a program may change are taken. In system mode: all bits there are. */
uint64_t x86_get_rflags(const struct x86_cpu *cpu);
void x86_set_rflags(struct x86_cpu *cpu, uint64_t rflags);

/* accesses.c, of struct ir_guest. */
unsigned x86_accesses(const void *config, void *state, const uint8_t *bytes, size_t size,
                      struct ir_access_at access[IR_ACCESSES_MAX]);
/* Whether a NATIVE instruction does something else to memory than its operands say: how much, or
 * where, is known only by the state, or it is more than pieces of an operand. */
bool x86_accesses_apart(const struct x86_insn *insn);

/* What XSAVE and XRSTOR in all forms access: calls `told` for each run of bytes. */
typedef void x86_access_fn(void *opaque, uint64_t address, size_t size, bool write);
void x86_xsave_accesses(struct x86_cpu *cpu, const struct x86_insn *insn, x86_access_fn *told,
                        void *opaque);
void x86_xrstor_accesses(struct x86_cpu *cpu, const struct x86_insn *insn, x86_access_fn *told,
                         void *opaque);

/* --- for helpers */

/* cpu->memory, or x86_direct_memory where that is NULL. */
/* FIP and FDP of the record's image, as the guest is to see them: of FDP in system mode the linear
 * address. */
void x86_guest_pointers(const struct x86_cpu *cpu, uint64_t *fip, uint64_t *fdp);

const struct x86_memory_access *x86_memory_of(const struct x86_cpu *cpu);

/* Accesses; false with `fault`: #PF, or #GP where not canonical (#SS for the stack, and for the
 * operand of `insn` where its base is RSP or RBP). Writes probe all pages first, x86_write_probed()
 * leaves that to its caller. */
bool x86_read(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address, void *to,
              size_t size, struct x86_fault *fault);
bool x86_write(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address, const void *from,
               size_t size, struct x86_fault *fault);
bool x86_write_probed(struct x86_cpu *cpu, uint64_t address, const void *from, size_t size,
                      struct x86_fault *fault);
bool x86_probe_write(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address,
                     size_t size, struct x86_fault *fault);
/* Whether an area of `size` bytes for a whole state may begin at `address`: canonical, aligned, and
 * its first and its last byte can be accessed. */
bool x86_check_area(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address, size_t size,
                    unsigned alignment, struct x86_fault *fault);
bool x86_read_stack(struct x86_cpu *cpu, uint64_t address, void *to, size_t size,
                    struct x86_fault *fault);
bool x86_write_stack(struct x86_cpu *cpu, uint64_t address, const void *from, size_t size,
                     struct x86_fault *fault);

/* Fill `fault`; return false. */
bool x86_raise_gp(struct x86_fault *fault, uint32_t error);
bool x86_raise_ud(struct x86_fault *fault);

/* Steps over the instruction; returns true. */
bool x86_done(struct x86_cpu *cpu, const struct x86_insn *insn);

/* Bits 47 to 63 are equal. */
bool x86_is_canonical(uint64_t address);

/* Writes a general register by an operand size of 2, 4 (zero-extended) or 8 bytes. */
void x86_set_gpr(struct x86_cpu *cpu, unsigned number, unsigned size, uint64_t value);

x86_helper_fn x86_help_xgetbv, x86_help_xsave, x86_help_xrstor, x86_help_fxsave, x86_help_fnstenv;
x86_helper_fn x86_help_mov_to_seg, x86_help_mov_seg, x86_help_seg_base, x86_help_far, x86_help_iret;

#endif
