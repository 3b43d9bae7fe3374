/* SPDX-License-Identifier: MIT
 *
 * Precise faults. Each row is an instruction that faults in the middle of a block. Its code exists
 * twice: once with the instruction, once with a jump to dump() in its place, which says what the
 * registers must be at that moment. The handler compares every register, flag, vector and x87
 * register, the address and the codes; it resumes in dump(), which shows that what the handler
 * returned with is what the code goes on with. Behind the instruction everything is overwritten, so
 * that a translator may take it for dead. */
#include <stddef.h>
#include <sys/ucontext.h>

#include "expect.h"

enum { GPR = 16 };

struct image {
    uint64_t gpr[GPR]; /* in the order of the instruction set */
    uint64_t flags;
    uint64_t pad;
    uint8_t fx[512];
    uint8_t ymm_high[16][16];
} __attribute__((aligned(64)));

/* What the assembly reads and writes. */
struct image code_fault_input, code_fault_dump;
uint64_t code_fault_sp, code_fault_has_avx, code_fault_went_on;
uint8_t code_fault_stack[8192] __attribute__((aligned(64)));

void code_fault_dump_here(void);

#define LOAD(number, name) "mov code_fault_input+8*" #number "(%rip), %" #name "\n\t"
#define LOAD_ALL  \
    LOAD(0, rax)  \
    LOAD(1, rcx)  \
    LOAD(2, rdx)  \
    LOAD(3, rbx)  \
    LOAD(5, rbp)  \
    LOAD(6, rsi)  \
    LOAD(7, rdi)  \
    LOAD(8, r8)   \
    LOAD(9, r9)   \
    LOAD(10, r10) \
    LOAD(11, r11) \
    LOAD(12, r12) \
    LOAD(13, r13) \
    LOAD(14, r14) \
    LOAD(15, r15)

#define SAVE(number, name) "mov %" #name ", code_fault_dump+8*" #number "(%rip)\n\t"
#define HIGH(number) \
    "vextractf128 $1, %ymm" #number ", code_fault_dump+656+16*" #number "(%rip)\n\t"

/* Stores everything to code_fault_dump and returns to the caller of the case. */
__asm__(".text\n"
        ".globl code_fault_dump_here\n"
        "code_fault_dump_here:\n\t" SAVE(0, rax) SAVE(1, rcx) SAVE(2, rdx) SAVE(3, rbx) SAVE(4, rsp)
            SAVE(5, rbp) SAVE(6, rsi) SAVE(7, rdi) SAVE(8, r8) SAVE(9, r9) SAVE(10, r10)
                SAVE(11, r11) SAVE(12, r12) SAVE(13, r13) SAVE(14, r14)
                    SAVE(15, r15) "lea code_fault_stack+4096(%rip), %rsp\n\t"
                                  "pushfq\n\t"
                                  "popq code_fault_dump+128(%rip)\n\t"
                                  "fxsave64 code_fault_dump+144(%rip)\n\t"
                                  "cmpl $0, code_fault_has_avx(%rip)\n\t"
                                  "je 1f\n\t" HIGH(0) HIGH(1) HIGH(2) HIGH(3) HIGH(4) HIGH(5)
                                      HIGH(6) HIGH(7) HIGH(8) HIGH(9) HIGH(10) HIGH(11) HIGH(12)
                                          HIGH(13) HIGH(14)
                                              HIGH(15) "vzeroupper\n"
                                                       "1:\n\t"
                                                       "fninit\n\t"
                                                       "cld\n\t"
                                                       "mov code_fault_sp(%rip), %rsp\n\t"
                                                       "pop %r15\n\tpop %r14\n\tpop %r13\n\tpop "
                                                       "%r12\n\tpop %rbp\n\tpop %rbx\n\tret\n");
_Static_assert(offsetof(struct image, flags) == 128, "used by the assembly");
_Static_assert(offsetof(struct image, fx) == 144, "used by the assembly");
_Static_assert(offsetof(struct image, ymm_high) == 656, "used by the assembly");

/* rsi: good memory; r11: the same, one byte on; rdi: no access; r8: may only be read; r9: 4 bytes
 * before the end of good memory; r10: not canonical; r12: 16. */
enum where { AT_RDI, AT_READ_ONLY, AT_END, AT_NOTHING, AT_PC, AT_NULL, IN_512 };

enum { PF = 14, GP = 13, SS = 12, UD = 6, DE = 0 };
enum { READ = 4, WRITE = 6, DENIED = 7, NONE = 0 };

#define NO_ACCESS(error) SIGSEGV, SEGV_ACCERR, PF, error, AT_RDI
#define IN_IMAGE(error)  SIGSEGV, SEGV_ACCERR, PF, error, IN_512
#define READ_ONLY        SIGSEGV, SEGV_ACCERR, PF, DENIED, AT_READ_ONLY
#define OVER_END(error)  SIGSEGV, SEGV_ACCERR, PF, error, AT_END
#define UNMAPPED(error)  SIGSEGV, SEGV_MAPERR, PF, error, AT_NULL
#define PROTECTION       SIGSEGV, SI_KERNEL, GP, NONE, AT_NOTHING
#define STACK            SIGBUS, SI_KERNEL, SS, NONE, AT_NOTHING
#define UNDEFINED        SIGILL, ILL_ILLOPN, UD, NONE, AT_PC
#define DIVISION         SIGFPE, FPE_INTDIV, DE, NONE, AT_PC

/* X(name, signal..., what is done before it, the instruction) */
#define ROWS                                                                                      \
    X(load8, NO_ACCESS(READ), "", "movb (%rdi), %al")                                             \
    X(load8_high, NO_ACCESS(READ), "", "movb (%rdi), %ah")                                        \
    X(load16, NO_ACCESS(READ), "", "movw (%rdi), %bx")                                            \
    X(load32, NO_ACCESS(READ), "", "movl (%rdi), %ecx")                                           \
    X(load64, NO_ACCESS(READ), "", "movq (%rdi), %rdi")                                           \
    X(load_sib, NO_ACCESS(READ), "lea (%rdi), %rax\n\tsub $0x80, %rax",                           \
      "movq 64(%rax,%r12,4), %rax")                                                               \
    X(load_short_address, UNMAPPED(READ), "mov $0x30, %eax", "movl -0x20(%eax), %eax")            \
    X(load_null, UNMAPPED(READ), "xor %eax, %eax", "movq 16(%rax), %rdx")                         \
    X(load_absolute, UNMAPPED(READ), "", "movq 0x10, %rdx")                                       \
    X(movzx, NO_ACCESS(READ), "", "movzbl (%rdi), %eax")                                          \
    X(movsx, NO_ACCESS(READ), "", "movswq (%rdi), %r15")                                          \
    X(movsxd, NO_ACCESS(READ), "", "movslq (%rdi), %rdi")                                         \
    X(store8, NO_ACCESS(WRITE), "", "movb %al, (%rdi)")                                           \
    X(store16, NO_ACCESS(WRITE), "", "movw %ax, (%rdi)")                                          \
    X(store32, NO_ACCESS(WRITE), "", "movl %eax, (%rdi)")                                         \
    X(store64, NO_ACCESS(WRITE), "", "movq %rsp, (%rdi)")                                         \
    X(store_immediate, NO_ACCESS(WRITE), "", "movq $-5, (%rdi)")                                  \
    X(store_read_only, READ_ONLY, "", "movq %rax, (%r8)")                                         \
    X(store_over_end, OVER_END(WRITE), "", "movq %rax, (%r9)")                                    \
    X(load_over_end, OVER_END(READ), "", "movq (%r9), %rax")                                      \
    X(movnti, NO_ACCESS(WRITE), "", "movnti %rax, (%rdi)")                                        \
    X(add_load, NO_ACCESS(READ), "", "addq (%rdi), %rax")                                         \
    X(adc_load, NO_ACCESS(READ), "", "adcl (%rdi), %edx")                                         \
    X(add_store, NO_ACCESS(WRITE), "", "addq %rax, (%rdi)")                                       \
    X(sbb_store, NO_ACCESS(WRITE), "", "sbbw %ax, (%rdi)")                                        \
    X(add_read_only, READ_ONLY, "", "addq $1, (%r8)")                                             \
    X(add_over_end, OVER_END(WRITE), "", "addq $1, (%r9)")                                        \
    X(cmp_load, NO_ACCESS(READ), "", "cmpq $5, (%rdi)")                                           \
    X(test_load, NO_ACCESS(READ), "", "testb $5, (%rdi)")                                         \
    X(inc_store, NO_ACCESS(WRITE), "", "incl (%rdi)")                                             \
    X(neg_store, NO_ACCESS(WRITE), "", "negq (%rdi)")                                             \
    X(shift_store, NO_ACCESS(WRITE), "", "shll %cl, (%rdi)")                                      \
    X(rcl_store, NO_ACCESS(WRITE), "", "rclq $1, (%rdi)")                                         \
    X(shld_store, NO_ACCESS(WRITE), "", "shldq %cl, %rax, (%rdi)")                                \
    X(imul_load, NO_ACCESS(READ), "", "imulq (%rdi), %rax")                                       \
    X(mul_load, NO_ACCESS(READ), "", "mulq (%rdi)")                                               \
    X(div_load, NO_ACCESS(READ), "", "divl (%rdi)")                                               \
    X(setcc, NO_ACCESS(WRITE), "", "setc (%rdi)")                                                 \
    X(cmov_taken, NO_ACCESS(READ), "", "cmovnp (%rdi), %rax")                                     \
    X(cmov_not_taken, NO_ACCESS(READ), "", "cmovp (%rdi), %rax")                                  \
    X(bt_register, NO_ACCESS(READ), "mov $-64, %rdx\n\tlea 8(%rdi), %rax", "btq %rdx, (%rax)")    \
    X(bts_register, NO_ACCESS(WRITE), "mov $3, %edx", "btsl %edx, (%rdi)")                        \
    X(btr_immediate, NO_ACCESS(WRITE), "", "btrl $3, (%rdi)")                                     \
    X(xchg, NO_ACCESS(WRITE), "", "xchgq %rax, (%rdi)")                                           \
    X(xadd, NO_ACCESS(WRITE), "", "xaddq %rax, (%rdi)")                                           \
    X(lock_add, NO_ACCESS(WRITE), "", "lock addq %rax, (%rdi)")                                   \
    X(lock_xadd, READ_ONLY, "", "lock xaddl %eax, (%r8)")                                         \
    X(cmpxchg, NO_ACCESS(WRITE), "", "cmpxchgq %rdx, (%rdi)")                                     \
    X(lock_cmpxchg, READ_ONLY, "", "lock cmpxchgb %dl, (%r8)")                                    \
    X(cmpxchg8b, NO_ACCESS(WRITE), "", "lock cmpxchg8b (%rdi)")                                   \
    X(cmpxchg16b, NO_ACCESS(WRITE), "", "lock cmpxchg16b (%rdi)")                                 \
    X(cmpxchg16b_unaligned, PROTECTION, "", "lock cmpxchg16b (%r11)")                             \
    X(movs_from, NO_ACCESS(READ), "xchg %rsi, %rdi\n\tmov %rsi, %rdi\n\tmov %r11, %rdi", "movsq") \
    X(movs_to, NO_ACCESS(WRITE), "", "movsl")                                                     \
    X(stos, NO_ACCESS(WRITE), "", "stosq")                                                        \
    X(lods, NO_ACCESS(READ), "mov %rdi, %rsi", "lodsb")                                           \
    X(scas, NO_ACCESS(READ), "", "scasw")                                                         \
    X(cmps, NO_ACCESS(READ), "", "cmpsb")                                                         \
    X(rep_movs, NO_ACCESS(WRITE), "", "rep movsb")                                                \
    X(rep_stos, NO_ACCESS(WRITE), "", "rep stosq")                                                \
    X(repne_scas, NO_ACCESS(READ), "", "repne scasb")                                             \
    X(xlat, NO_ACCESS(READ), "mov %rdi, %rbx\n\txor %eax, %eax", "xlatb")                         \
    X(push_memory, NO_ACCESS(READ), "", "pushq (%rdi)")                                           \
    X(pop_memory, NO_ACCESS(WRITE), "", "popq (%rdi)")                                            \
    X(push, NO_ACCESS(WRITE), "lea 8(%rdi), %rsp", "pushq %rax")                                  \
    X(push_immediate, NO_ACCESS(WRITE), "lea 8(%rdi), %rsp", "pushq $7")                          \
    X(push_flags, NO_ACCESS(WRITE), "lea 8(%rdi), %rsp", "pushfq")                                \
    X(pop, NO_ACCESS(READ), "mov %rdi, %rsp", "popq %rbx")                                        \
    X(pop_flags, NO_ACCESS(READ), "mov %rdi, %rsp", "popfq")                                      \
    X(leave, NO_ACCESS(READ), "mov %rdi, %rbp", "leave")                                          \
    X(enter, NO_ACCESS(WRITE), "lea 8(%rdi), %rsp", "enter $32, $0")                              \
    X(call, NO_ACCESS(WRITE), "lea 8(%rdi), %rsp", "call code_fault_dump_here")                   \
    X(call_register, NO_ACCESS(WRITE),                                                            \
      "lea 8(%rdi), %rsp\n\tlea code_fault_dump_here(%rip), %rax", "call *%rax")                  \
    X(call_memory, NO_ACCESS(READ), "", "call *(%rdi)")                                           \
    X(jmp_memory, NO_ACCESS(READ), "", "jmp *(%rdi)")                                             \
    X(ret, NO_ACCESS(READ), "mov %rdi, %rsp", "ret")                                              \
    X(ret_pop, NO_ACCESS(READ), "mov %rdi, %rsp", "ret $16")                                      \
    X(andn, NO_ACCESS(READ), "", "andn (%rdi), %rax, %rdx")                                       \
    X(mulx, NO_ACCESS(READ), "", "mulx (%rdi), %rax, %rbx")                                       \
    X(shlx, NO_ACCESS(READ), "", "shlx %rax, (%rdi), %rbx")                                       \
    X(popcnt, NO_ACCESS(READ), "", "popcntq (%rdi), %rax")                                        \
    X(lzcnt, NO_ACCESS(READ), "", "lzcntl (%rdi), %eax")                                          \
    X(bsf, NO_ACCESS(READ), "", "bsfq (%rdi), %rax")                                              \
    X(movbe_load, NO_ACCESS(READ), "", "movbe (%rdi), %rax")                                      \
    X(movbe_store, NO_ACCESS(WRITE), "", "movbe %eax, (%rdi)")                                    \
    X(crc32, NO_ACCESS(READ), "", "crc32q (%rdi), %rax")                                          \
    X(adcx, NO_ACCESS(READ), "", "adcx (%rdi), %rax")                                             \
    X(movss, NO_ACCESS(READ), "", "movss (%rdi), %xmm3")                                          \
    X(movsd_store, NO_ACCESS(WRITE), "", "movsd %xmm3, (%rdi)")                                   \
    X(movdqu, NO_ACCESS(READ), "", "movdqu (%rdi), %xmm3")                                        \
    X(movdqu_over_end, OVER_END(READ), "", "movdqu (%r9), %xmm3")                                 \
    X(movups_store_over_end, OVER_END(WRITE), "", "movups %xmm3, (%r9)")                          \
    X(movaps_unaligned, PROTECTION, "", "movaps (%r11), %xmm3")                                   \
    X(movntdq_unaligned, PROTECTION, "", "movntdq %xmm3, (%r11)")                                 \
    X(paddd_unaligned, PROTECTION, "", "paddd (%r11), %xmm3")                                     \
    X(addps, NO_ACCESS(READ), "", "addps (%rdi), %xmm3")                                          \
    X(addsd, NO_ACCESS(READ), "", "addsd (%rdi), %xmm3")                                          \
    X(ucomisd, NO_ACCESS(READ), "", "ucomisd (%rdi), %xmm3")                                      \
    X(cvtsi2sd, NO_ACCESS(READ), "", "cvtsi2sdq (%rdi), %xmm3")                                   \
    X(cvttss2si, NO_ACCESS(READ), "", "cvttss2sil (%rdi), %eax")                                  \
    X(pinsrw, NO_ACCESS(READ), "", "pinsrw $3, (%rdi), %xmm3")                                    \
    X(pextrb, NO_ACCESS(WRITE), "", "pextrb $3, %xmm3, (%rdi)")                                   \
    X(movhps, NO_ACCESS(READ), "", "movhps (%rdi), %xmm3")                                        \
    X(pcmpistri, NO_ACCESS(READ), "", "pcmpistri $0, (%rdi), %xmm3")                              \
    X(maskmovdqu, NO_ACCESS(WRITE), "pcmpeqd %xmm4, %xmm4", "maskmovdqu %xmm4, %xmm3")            \
    X(aesenc, NO_ACCESS(READ), "", "aesenc (%rdi), %xmm3")                                        \
    X(ldmxcsr, NO_ACCESS(READ), "", "ldmxcsr (%rdi)")                                             \
    X(ldmxcsr_reserved, PROTECTION, "movl $-1, (%rsi)", "ldmxcsr (%rsi)")                         \
    X(stmxcsr, NO_ACCESS(WRITE), "", "stmxcsr (%rdi)")                                            \
    X(movq_mmx, NO_ACCESS(READ), "", "movq (%rdi), %mm2")                                         \
    X(fldl, NO_ACCESS(READ), "", "fldl (%rdi)")                                                   \
    X(fldt, NO_ACCESS(READ), "", "fldt (%rdi)")                                                   \
    X(fstps, NO_ACCESS(WRITE), "", "fstps (%rdi)")                                                \
    X(fstpt, NO_ACCESS(WRITE), "", "fstpt (%rdi)")                                                \
    X(fildll, NO_ACCESS(READ), "", "fildll (%rdi)")                                               \
    X(fistpll, NO_ACCESS(WRITE), "", "fistpll (%rdi)")                                            \
    X(fbstp, NO_ACCESS(WRITE), "", "fbstp (%rdi)")                                                \
    X(faddl, NO_ACCESS(READ), "", "faddl (%rdi)")                                                 \
    X(fldcw, NO_ACCESS(READ), "", "fldcw (%rdi)")                                                 \
    X(fnstcw, NO_ACCESS(WRITE), "", "fnstcw (%rdi)")                                              \
    X(fxsave, IN_IMAGE(WRITE), "", "fxsave64 (%rdi)")                                             \
    X(fxrstor, IN_IMAGE(READ), "", "fxrstor64 (%rdi)")                                            \
    X(fxsave_unaligned, PROTECTION, "", "fxsave64 (%r11)")                                        \
    X(not_canonical_load, PROTECTION, "", "movq (%r10), %rax")                                    \
    X(not_canonical_store, PROTECTION, "", "movq %rax, (%r10)")                                   \
    X(not_canonical_stack, STACK, "mov %r10, %rbp", "movq 8(%rbp), %rax")                         \
    X(not_canonical_push, STACK, "mov %r10, %rsp", "pushq %rax")                                  \
    X(ud2, UNDEFINED, "", "ud2")                                                                  \
    X(ud1, UNDEFINED, "", "ud1 %rax, %rax")                                                       \
    X(ud0, UNDEFINED, "", ".byte 0x0f, 0xff, 0xc0")                                               \
    X(lock_mov, UNDEFINED, "", ".byte 0xf0, 0x89, 0x06")                                          \
    X(push_es, UNDEFINED, "", ".byte 0x06")                                                       \
    X(daa, UNDEFINED, "", ".byte 0x27")                                                           \
    X(aam, UNDEFINED, "", ".byte 0xd4, 0x0a")                                                     \
    X(far_direct, UNDEFINED, "", ".byte 0xea, 0, 0, 0, 0, 0x33, 0")                               \
    X(salc, UNDEFINED, "", ".byte 0xd6")                                                          \
    X(hlt, PROTECTION, "", "hlt")                                                                 \
    X(cli, PROTECTION, "", "cli")                                                                 \
    X(in, PROTECTION, "", "inb %dx, %al")                                                         \
    X(out, PROTECTION, "", "outl %eax, $0x80")                                                    \
    X(move_control, PROTECTION, "", "mov %cr0, %rax")                                             \
    X(rdmsr, PROTECTION, "", "rdmsr")                                                             \
    X(invd, PROTECTION, "", "invd")                                                               \
    X(int_gate, PROTECTION, "", "int $0x30")                                                      \
    X(div_zero, DIVISION, "xor %ecx, %ecx", "divq %rcx")                                          \
    X(idiv_zero, DIVISION, "movl $0, (%rsi)", "idivl (%rsi)")                                     \
    X(div_overflow, DIVISION, "mov $-1, %edx\n\tmov $2, %ecx", "divl %ecx")                       \
    X(idiv_overflow, DIVISION, "mov $0x80, %eax\n\tcwtl\n\tmov $0xff, %ecx\n\tmov $0xff80, %eax", \
      "idivb %cl")

#define ROWS_AVX                                                                                \
    X(vmovups, NO_ACCESS(READ), "", "vmovups (%rdi), %ymm3")                                    \
    X(vmovups_over_end, OVER_END(READ), "", "vmovups (%r9), %ymm3")                             \
    X(vmovups_store, NO_ACCESS(WRITE), "", "vmovups %ymm3, (%rdi)")                             \
    X(vmovaps_unaligned, PROTECTION, "", "vmovaps (%r11), %ymm3")                               \
    X(vaddps, NO_ACCESS(READ), "", "vaddps (%rdi), %ymm3, %ymm4")                               \
    X(vpaddd, NO_ACCESS(READ), "", "vpaddd (%rdi), %ymm3, %ymm3")                               \
    X(vbroadcastss, NO_ACCESS(READ), "", "vbroadcastss (%rdi), %ymm3")                          \
    X(vinserti128, NO_ACCESS(READ), "", "vinserti128 $1, (%rdi), %ymm3, %ymm3")                 \
    X(vextracti128, NO_ACCESS(WRITE), "", "vextracti128 $1, %ymm3, (%rdi)")                     \
    X(vfmadd, NO_ACCESS(READ), "", "vfmadd231pd (%rdi), %ymm3, %ymm4")                          \
    X(vmaskmovps, NO_ACCESS(READ), "vpcmpeqd %ymm4, %ymm4, %ymm4",                              \
      "vmaskmovps (%rdi), %ymm4, %ymm3")                                                        \
    X(vpmaskmovq_store, NO_ACCESS(WRITE), "vpcmpeqd %ymm4, %ymm4, %ymm4",                       \
      "vpmaskmovq %ymm3, %ymm4, (%rdi)")                                                        \
    X(vcvtph2ps, NO_ACCESS(READ), "", "vcvtph2ps (%rdi), %ymm3")                                \
    X(vpgatherdd, NO_ACCESS(READ), "vpxor %ymm5, %ymm5, %ymm5\n\tvpcmpeqd %ymm4, %ymm4, %ymm4", \
      "vpgatherdd %ymm4, (%rdi,%ymm5,4), %ymm3")

/* Some work first, so that the fault is in mid-block: integer, vector, x87; then flags of which add
 * gives some and inc the others. */
#define HEAD                                                                         \
    "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\t" \
    "mov %rsp, code_fault_sp(%rip)\n\t" LOAD_ALL "fld1\n\t"                          \
    "fldpi\n\t"                                                                      \
    "movq %rax, %xmm3\n\t"                                                           \
    "pshufd $0x1b, %xmm3, %xmm4\n\t"                                                 \
    "lea 0x123(%r13,%r15,2), %r13\n\t"

#define FLAGS                                  \
    "\n\tmovabs $0xc000000000000007, %r14\n\t" \
    "add %r14, %r14\n\t"                       \
    "inc %r14\n\t"

#define TAIL                                                                                     \
    "\n\txor %eax, %eax\n\t"                                                                     \
    "xor %ecx, %ecx\n\txor %edx, %edx\n\txor %ebx, %ebx\n\txor %esi, %esi\n\txor %edi, %edi\n\t" \
    "xor %r8d, %r8d\n\txor %r13d, %r13d\n\txor %r14d, %r14d\n\txor %r15d, %r15d\n\t"             \
    "pxor %xmm3, %xmm3\n\tpxor %xmm4, %xmm4\n\t"                                                 \
    "incl code_fault_went_on(%rip)\n\t"                                                          \
    "jmp code_fault_dump_here\n"

#define CASE(name, before, instruction)                             \
    __asm__(".text\n"                                               \
            "1:\n\t" HEAD before FLAGS "jmp code_fault_dump_here\n" \
            "2:\n\t" HEAD before FLAGS "3: " instruction TAIL       \
            ".section .data.rel.ro.cases, \"aw\"\n\t"               \
            ".globl code_fault_case_" #name "\n"                    \
            "code_fault_case_" #name ": .quad 1b, 2b, 3b\n"         \
            ".text\n");

struct places {
    void (*model)(void);
    void (*run)(void);
    uint8_t *instruction;
};

#define X(...) X_(__VA_ARGS__)
#define X_(name, signal, code, trap, error, where, before, instruction) \
    CASE(name, before, instruction)                                     \
    extern const struct places code_fault_case_##name;
ROWS ROWS_AVX
#undef X_
#define X_(name, signal, code, trap, error, where, before, instruction) \
    {#name, signal, code, trap, error, where, &code_fault_case_##name},
    static const struct row {
    const char *name;
    int signal, code, trap, error;
    enum where where;
    const struct places *places;
} rows[] = {ROWS}, rows_avx[] = {ROWS_AVX};

static const struct row *row;
static struct image model;
static int faults;
static uint8_t *good, *no_access, *read_only;

static uint64_t address_of(const struct row *r)
{
    switch (r->where) {
    case IN_512:
    case AT_RDI: return (uintptr_t)no_access + 64;
    case AT_READ_ONLY: return (uintptr_t)read_only + 64;
    case AT_END: return (uintptr_t)good + EXPECT_PAGE;
    case AT_PC: return (uintptr_t)r->places->instruction;
    case AT_NULL: return 16;
    default: return 0;
    }
}

static void compare(const char *name, const char *what, uint64_t found, uint64_t expected)
{
    EXPECT_THAT(found == expected, "%s: %s is %#llx, expected %#llx", name, what,
                (unsigned long long)found, (unsigned long long)expected);
}

static const char *const gpr_name[GPR] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

/* TF, RF and the reserved bit are the kernel's affair. */
enum { FLAGS_COMPARED = 0xcd5 | 1 << 10 };

static void compare_vectors(const uint8_t *fx)
{
    /* Control, status and abridged tag word; the last instruction's pointers are not compared. */
    compare(row->name, "fcw", *(const uint16_t *)fx, *(uint16_t *)model.fx);
    compare(row->name, "fsw", *(const uint16_t *)(fx + 2), *(uint16_t *)(model.fx + 2));
    compare(row->name, "ftw", fx[4], model.fx[4]);
    compare(row->name, "mxcsr", *(const uint32_t *)(fx + 24), *(uint32_t *)(model.fx + 24));
    for (int i = 0; i < 8; i++) {
        EXPECT_THAT(!memcmp(fx + 32 + 16 * i, model.fx + 32 + 16 * i, 10), "%s: st(%d) differs",
                    row->name, i);
    }
    for (int i = 0; i < 16; i++) {
        EXPECT_THAT(!memcmp(fx + 160 + 16 * i, model.fx + 160 + 16 * i, 16), "%s: xmm%d differs",
                    row->name, i);
    }
}

static void on_fault(int signal, siginfo_t *info, void *opaque)
{
    static const int order[GPR] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                   REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                   REG_R12, REG_R13, REG_R14, REG_R15};
    ucontext_t *context = opaque;
    greg_t *regs = context->uc_mcontext.gregs;

    faults++;
    compare(row->name, "signal", (uint64_t)signal, (uint64_t)row->signal);
    compare(row->name, "si_code", (uint64_t)info->si_code, (uint64_t)row->code);
    /* Processors differ in which byte of an FXSAVE image they report. */
    uint64_t mask = row->where == IN_512 ? ~511ull : ~0ull;
    compare(row->name, "si_addr", ((uintptr_t)info->si_addr - 64) & mask,
            (address_of(row) - 64) & mask);
    compare(row->name, "trapno", (uint64_t)regs[REG_TRAPNO], (uint64_t)row->trap);
    int error = row->error;
    if (!strcmp(row->name, "int_gate")) {
        error = 0x30 * 8 + 2; /* the vector's selector */
    }
    compare(row->name, "err", (uint64_t)regs[REG_ERR], (uint64_t)error);
    if (row->trap == PF) {
        compare(row->name, "cr2", (uint64_t)regs[REG_CR2], (uintptr_t)info->si_addr);
    }
    compare(row->name, "rip", (uint64_t)regs[REG_RIP], (uintptr_t)row->places->instruction);
    for (int i = 0; i < GPR; i++) {
        compare(row->name, gpr_name[i], (uint64_t)regs[order[i]], model.gpr[i]);
    }
    compare(row->name, "flags", (uint64_t)regs[REG_EFL] & FLAGS_COMPARED,
            model.flags & FLAGS_COMPARED);
    const uint8_t *fx = (const uint8_t *)context->uc_mcontext.fpregs;
    compare_vectors(fx);
    uint32_t magic;
    uint64_t features;
    memcpy(&magic, fx + 464, 4);
    memcpy(&features, fx + 512, 8);
    if (code_fault_has_avx && magic == 0x46505853 && (features & 4)) {
        EXPECT_THAT(!memcmp(fx + 576, model.ymm_high, sizeof model.ymm_high),
                    "%s: upper halves of ymm differ", row->name);
    }
    regs[REG_RIP] = (greg_t)(uintptr_t)code_fault_dump_here;
    regs[REG_R15] ^= 0x55; /* seen by whoever goes on */
}

static void prepare(void)
{
    for (int i = 0; i < GPR; i++) {
        code_fault_input.gpr[i] = 0x1111111111111111u * (uint64_t)i ^ 0x9e3779b97f4a7c15u;
    }
    code_fault_input.gpr[1] = 5;
    code_fault_input.gpr[6] = (uintptr_t)good + 1024;
    code_fault_input.gpr[7] = (uintptr_t)no_access + 64;
    code_fault_input.gpr[8] = (uintptr_t)read_only + 64;
    code_fault_input.gpr[9] = (uintptr_t)good + EXPECT_PAGE - 4;
    code_fault_input.gpr[10] = 0x8000123456789000;
    code_fault_input.gpr[11] = (uintptr_t)good + 1025;
    code_fault_input.gpr[12] = 16;
    memset(good, 0x3c, EXPECT_PAGE);
}

static void run_row(const struct row *r)
{
    row = r;
    prepare();
    r->places->model();
    model = code_fault_dump;
    prepare();
    memset(&code_fault_dump, 0, sizeof code_fault_dump);
    faults = 0;
    code_fault_went_on = 0;
    r->places->run();
    EXPECT_THAT(faults == 1 && !code_fault_went_on, "%s: %d faults, ran on %llu times", r->name,
                faults, (unsigned long long)code_fault_went_on);
    for (int i = 0; i < GPR && faults; i++) {
        compare(r->name, gpr_name[i], code_fault_dump.gpr[i], model.gpr[i] ^ (i == 15 ? 0x55 : 0));
    }
    if (faults) {
        compare(r->name, "flags after the handler", code_fault_dump.flags & FLAGS_COMPARED,
                model.flags & FLAGS_COMPARED);
        compare_vectors(code_fault_dump.fx);
        EXPECT_THAT(!memcmp(code_fault_dump.ymm_high, model.ymm_high, sizeof model.ymm_high),
                    "%s: upper halves of ymm differ after the handler", r->name);
    }
}

int main(void)
{
    alarm(60);
    good = expect_pages(2, PROT_READ | PROT_WRITE);
    EXPECT(mprotect(good + EXPECT_PAGE, EXPECT_PAGE, PROT_NONE) == 0);
    no_access = expect_pages(1, PROT_NONE);
    read_only = expect_pages(1, PROT_READ | PROT_WRITE);
    read_only[0] = 1;
    EXPECT(mprotect(read_only, EXPECT_PAGE, PROT_READ) == 0);
    code_fault_has_avx = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");

    stack_t stack = {.ss_sp = malloc(1 << 17), .ss_size = 1 << 17};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    EXPECT_OR_END(stack.ss_sp && sigaltstack(&stack, NULL) == 0);
    for (const int *s = (const int[]){SIGSEGV, SIGBUS, SIGILL, SIGFPE, 0}; *s; s++) {
        sigaction(*s, &action, NULL);
    }
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            run_row(&rows[i]);
        }
        for (size_t i = 0; code_fault_has_avx && i < sizeof rows_avx / sizeof rows_avx[0]; i++) {
            run_row(&rows_avx[i]);
        }
    }
    return expect_done();
}
