/* SPDX-License-Identifier: MIT
 *
 * Into translated code and out of it.
 *
 * enter   C calls x64_enter(): it keeps the callee-saved registers and the stack pointer, and jumps
 *         into the glue, which loads the guest's FS base, vector state, flags and registers, and
 *         jumps through state.host[X64_ENTRY]. That word can still be changed by a signal handler
 *         while the glue runs, so that a request to stop that comes too late for C is not lost.
 * leave   stores everything, gives C its own FS, MXCSR and an empty x87 unit, and returns from
 *         x64_enter().
 * lookup  where an indirect jump goes that the jump table does not know: RCX is target minus some
 *         pc, RAX minus that pc (or, at `empty`, RCX is the target). The second table is asked, and
 *         only then the engine.
 * redirect where a signal handler sends a thread: everything is in place, state.pc too.
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/x64/internal.h"

enum {
    XSAVE_MASK = 7, /* x87, SSE, AVX */
    MXCSR_DEFAULT = 0x1f80,
    EXIT_LOOKUP_ARG = -1,
};

void x64_gs_operand(struct ir_code *code, unsigned reg, uint32_t state)
{
    x64_byte(code, reg << 3 | 4);
    x64_byte(code, 0x25);
    x64_u32(code, state);
}

/* XSAVEOPT64 or XRSTOR64 of state.vector, with the mask in EDX:EAX. */
static void xsave(struct ir_code *code, unsigned extension)
{
    static const uint8_t mask[] = {0xb8, XSAVE_MASK, 0, 0, 0, 0x31, 0xd2}; /* mov eax; xor edx */
    static const uint8_t opcode[] = {0x65, 0x48, 0x0f, 0xae};

    x64_bytes(code, mask, sizeof(mask));
    x64_bytes(code, opcode, sizeof(opcode));
    x64_gs_operand(code, extension, X64_STATE(vector));
}

static void write_fs_base_rax(struct ir_code *code)
{
    static const uint8_t wrfsbase[] = {0xf3, 0x48, 0x0f, 0xae, 0xd0};

    x64_bytes(code, wrfsbase, sizeof(wrfsbase));
}

static void glue_enter(struct ir_code *code)
{
    static const uint8_t push_gs[] = {0x65, 0xff};

    x64_load_state(code, X64_RAX, X64_STATE(thread_base));
    write_fs_base_rax(code);
    xsave(code, 5);
    x64_bytes(code, push_gs, sizeof(push_gs));
    x64_gs_operand(code, 6, X64_STATE(flags));
    x64_byte(code, 0x9d); /* popfq */
    for (unsigned reg = 0; reg < 16; reg++)
        if (reg != X64_RSP)
            x64_load_state(code, reg, X64_REG(reg));
    x64_load_state(code, X64_RSP, X64_REG(X64_RSP));
    x64_bytes(code, push_gs, sizeof(push_gs)); /* jmp gs:[entry]: FF /4 */
    x64_gs_operand(code, 4, X64_WORD(X64_ENTRY));
}

static void store_registers(struct ir_code *code, unsigned but)
{
    for (unsigned reg = 0; reg < 16; reg++)
        if (!(but >> reg & 1))
            x64_store_state(code, X64_REG(reg), reg);
    x64_load_state(code, X64_RSP, X64_WORD(X64_HOST_SP));
}

void x64_xrstor(struct ir_code *code)
{
    xsave(code, 5);
}

void x64_store_units(struct ir_code *code)
{
    static const uint8_t flags[] = {0x9c, 0x65, 0x8f}; /* pushfq; pop gs:[...] */
    static const uint8_t cld = 0xfc;
    static const uint8_t ldmxcsr[] = {0x65, 0x0f, 0xae};
    static const uint8_t test_byte[] = {0x65, 0xf6};
    static const uint8_t fninit[] = {0x01, 0x74, 0x02, 0xdb, 0xe3}; /* ,1; jz +2; fninit */
    static const uint8_t vzeroupper[] = {0xc5, 0xf8, 0x77};

    x64_bytes(code, flags, sizeof(flags));
    x64_gs_operand(code, 0, X64_STATE(flags));
    x64_byte(code, cld);
    xsave(code, 6);
    x64_bytes(code, vzeroupper, sizeof(vzeroupper));
    x64_bytes(code, ldmxcsr, sizeof(ldmxcsr));
    x64_gs_operand(code, 2, X64_WORD(X64_MXCSR));
    x64_bytes(code, test_byte, sizeof(test_byte)); /* x87 in use? */
    x64_gs_operand(code, 0, X64_STATE(vector) + 512);
    x64_bytes(code, fninit, sizeof(fninit));
}

void x64_return(struct ir_code *code)
{
    static const uint8_t pops[] = {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d,
                                   0x41, 0x5c, 0x5d, 0x5b, 0xc3};

    x64_bytes(code, pops, sizeof(pops));
}

/* Flags, vector state, FS; then back to x64_enter()'s caller. */
static void store_rest(struct ir_code *code)
{
    static const uint8_t rdfsbase_rax[] = {0xf3, 0x48, 0x0f, 0xae, 0xc0};

    x64_store_units(code);
    x64_bytes(code, rdfsbase_rax, sizeof(rdfsbase_rax));
    x64_store_state(code, X64_STATE(thread_base), X64_RAX);
    x64_load_state(code, X64_RAX, X64_WORD(X64_HOST_FS));
    write_fs_base_rax(code);
    x64_return(code);
}

static bool has_crc32(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static unsigned crc32_index(uint64_t pc)
{
    return (unsigned)(__builtin_ia32_crc32di(0, pc) & ((1u << IR_SECOND_BITS) - 1));
}

unsigned x64_second(uint64_t pc)
{
    return has_crc32() ? crc32_index(pc) : (unsigned)(pc >> 4 & ((1u << IR_SECOND_BITS) - 1));
}

/* With the target in RCX: looks into the second table, and goes to what it finds. The flags stay,
 * so the index is a CRC32, and the comparison a sum that is to be 0. Goes on behind with the target
 * in RCX if there is nothing. */
static void second_table(struct ir_code *code)
{
    static const uint8_t index[] = {
        0xb8, 0,    0,    0,    0,          /* mov eax, 0 */
        0xf2, 0x48, 0x0f, 0x38, 0xf1, 0xc1, /* crc32 rax, rcx */
        0x0f, 0xb7, 0xc0,                   /* movzx eax, ax */
        0x8d, 0x04, 0x00,                   /* lea eax, [rax+rax] */
        0x65, 0x48, 0x8b, 0x14, 0xc5,       /* mov rdx, gs:[rax*8+tag] */
    };
    static const uint8_t compare[] = {
        0x48, 0x8d, 0x54, 0x11, 0x01, /* lea rdx, [rcx+rdx+1] */
        0x48, 0x87, 0xd1,             /* xchg rcx, rdx */
        0xe3,                         /* jrcxz: found */
    };
    static const uint8_t not_found[] = {0x48, 0x89, 0xd1};         /* mov rcx, rdx */
    static const uint8_t entry[] = {0x65, 0x48, 0x8b, 0x04, 0xc5}; /* mov rax, gs:[rax*8+exec] */
    static const uint8_t empty[] = {0x48, 0x89, 0xc1, 0xe3};       /* mov rcx, rax; jrcxz */
    static const uint8_t jump[] = {0x65, 0xff};
    size_t found, none, over;

    x64_store_state(code, X64_REG(X64_RDX), X64_RDX);
    x64_bytes(code, index, sizeof(index));
    x64_u32(code, IR_SECOND_AT + offsetof(struct ir_second, tag));
    x64_bytes(code, compare, sizeof(compare));
    found = code->size;
    x64_byte(code, 0);
    none = code->size;
    x64_bytes(code, not_found, sizeof(not_found));
    x64_load_state(code, X64_RDX, X64_REG(X64_RDX));
    x64_byte(code, 0xeb);
    over = code->size;
    x64_byte(code, 0);
    if (!code->full)
        code->write[found] = (uint8_t)(code->size - found - 1);
    x64_bytes(code, entry, sizeof(entry));
    x64_u32(code, IR_SECOND_AT + offsetof(struct ir_second, exec));
    x64_bytes(code, empty, sizeof(empty)); /* an empty place fits a target of -1 */
    x64_byte(code, (uint8_t)(none - (code->size + 1)));
    x64_store_state(code, X64_WORD(X64_TARGET), X64_RAX);
    x64_load_state(code, X64_RAX, X64_REG(X64_RAX));
    x64_load_state(code, X64_RCX, X64_REG(X64_RCX));
    x64_load_state(code, X64_RDX, X64_REG(X64_RDX));
    x64_bytes(code, jump, sizeof(jump));
    x64_gs_operand(code, 4, X64_WORD(X64_TARGET));
    if (!code->full)
        code->write[over] = (uint8_t)(code->size - over - 1);
}

static void glue_lookup(struct ir_code *code)
{
    unsigned in_place = 1u << X64_RAX | 1u << X64_RCX; /* stored by JUMP_TARGET */

    store_registers(code, in_place);
    x64_store_state(code, X64_STATE(pc), X64_RCX);
    x64_store_state32(code, X64_STATE(exit), IR_EXIT_LOOKUP);
    store_rest(code);
}

void x64_glue(struct ir_code *code, struct ir_glue *glue)
{
    /* not rax; lea rcx, [rcx+rax+1]: RCX - RAX, which is the target */
    static const uint8_t target[] = {0x48, 0xf7, 0xd0, 0x48, 0x8d, 0x4c, 0x01, 0x01};

    glue->start = x64_here(code);
    glue->enter = x64_here(code);
    glue_enter(code);
    glue->enter_end = x64_here(code);

    x64_nops(code, (unsigned)(-x64_here(code) & 15));
    glue->leave = x64_here(code);
    x64_store_state32(code, X64_STATE(exit), IR_EXIT_LINK); /* or what the site says */
    store_registers(code, 0);
    store_rest(code);

    x64_nops(code, (unsigned)(-x64_here(code) & 15));
    glue->inside = glue->lookup = x64_here(code);
    x64_bytes(code, target, sizeof(target));
    glue->empty = x64_here(code);
    if (has_crc32())
        second_table(code);
    glue->inside_end = x64_here(code);
    glue_lookup(code);

    x64_nops(code, (unsigned)(-x64_here(code) & 15));
    glue->redirect = x64_here(code);
    x64_store_state32(code, X64_STATE(exit), IR_EXIT_INTERRUPT);
    store_registers(code, 0);
    store_rest(code);
    x64_nops(code, (unsigned)(-x64_here(code) & 63));
    glue->end = x64_here(code);
}

/* Keeps what the C ABI wants kept, in the order that store_rest() takes it back. */
__asm__(".text\n"
        ".globl x64_enter_asm\n"
        ".hidden x64_enter_asm\n"
        ".type x64_enter_asm, @function\n"
        "x64_enter_asm:\n" /* rdi: glue.enter, rsi: offset of the word for the stack pointer */
        "	push %rbx\n"
        "	push %rbp\n"
        "	push %r12\n"
        "	push %r13\n"
        "	push %r14\n"
        "	push %r15\n"
        "	mov %rsp, %gs:(%rsi)\n"
        "	jmp *%rdi\n"
        ".size x64_enter_asm, . - x64_enter_asm\n"
        ".globl x64_signal_return\n"
        ".hidden x64_signal_return\n"
        ".type x64_signal_return, @function\n"
        "x64_signal_return:\n"
        "	mov $15, %eax\n"
        "	syscall\n"
        ".size x64_signal_return, . - x64_signal_return\n");

void x64_enter_asm(uint64_t glue, uint64_t stack_word);
void x64_signal_return(void);

/* The entry of signal handlers: number, info and context as they come. FS may be the guest's. Only
 * constants are operands, so that the function can be naked. */
__attribute__((naked)) static void signal_entry(void)
{
    __asm__ volatile("rdfsbase %%rax\n\t"
                     "push %%rax\n\t"
                     "mov %%gs:%c0, %%rax\n\t"
                     "wrfsbase %%rax\n\t"
                     "call *%%gs:%c1\n\t"
                     "pop %%rax\n\t"
                     "wrfsbase %%rax\n\t"
                     "ret"
                     :
                     : "i"(X64_WORD(X64_HOST_FS)), "i"(X64_WORD(X64_HANDLER)));
}

static void write_gs_base(uint64_t base)
{
    __asm__ volatile("wrgsbase %0" : : "r"(base) : "memory");
}

/* Not asked of GS, which a new thread inherits from the one that made it. */
static _Thread_local struct ir_state *bound __attribute__((tls_model("initial-exec")));

void x64_bind(struct ir_state *state, ir_handler_fn *handler)
{
    uint64_t fs;

    bound = state;
    if (!state) {
        write_gs_base(0);
        return;
    }
    __asm__ volatile("rdfsbase %0" : "=r"(fs));
    state->host[X64_HOST_FS] = fs;
    state->host[X64_MXCSR] = MXCSR_DEFAULT;
    state->host[X64_HANDLER] = (uint64_t)(uintptr_t)handler;
    write_gs_base((uint64_t)(uintptr_t)state);
}

struct ir_state *x64_current(void)
{
    return bound;
}

void x64_enter(const struct ir_glue *glue)
{
    x64_enter_asm(glue->enter, X64_WORD(X64_HOST_SP));
}

bool x64_usable(struct error *err)
{
    unsigned eax, ebx, ecx, edx, subleaf_eax = 0;

    __cpuid(1, eax, ebx, ecx, edx);
    if (!(getauxval(AT_HWCAP2) & 2))
        return error_set(err, "this kernel or processor does not let programs set FS and GS bases "
                              "(FSGSBASE: Linux 5.9 and a processor of 2012 or later)");
    if (!(ecx & bit_OSXSAVE))
        return error_set(err, "this processor or kernel has no XSAVE");
    __cpuid_count(0xd, 1, subleaf_eax, ebx, ecx, edx);
    if (!(subleaf_eax & 1))
        return error_set(err, "this processor has no XSAVEOPT");
    return true;
}

/* As the kernel takes it: glibc's sigaction() keeps signals 32 and 33 to itself. */
struct kernel_sigaction {
    void (*handler)(void);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

bool x64_sigaction(int signal)
{
    enum { KERNEL_SA_RESTORER = 0x04000000 };
    struct kernel_sigaction action = {
        .handler = signal_entry,
        .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | KERNEL_SA_RESTORER,
        .restorer = x64_signal_return,
        .mask = ~UINT64_C(0),
    };

    return syscall(SYS_rt_sigaction, signal, &action, NULL, sizeof(uint64_t)) == 0;
}
