/* SPDX-License-Identifier: MIT
 *
 * Disassembly: texts of single instructions in both syntaxes, as people's tools print them, what is
 * no instruction, and listings in the shape of QEMU's logs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disas/disas.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct insn {
    const char *bytes; /* hexadecimal */
    const char *text;
};

static size_t from_hex(const char *hex, uint8_t bytes[64])
{
    size_t count = 0;
    for (; *hex; hex += 2) {
        unsigned value;
        assert_int_equal(sscanf(hex, "%2x", &value), 1);
        bytes[count++] = (uint8_t)value;
    }
    return count;
}

static void compare(const struct disas_style *style, const struct insn *row, size_t count)
{
    struct strbuf text;
    strbuf_init(&text);
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[64];
        size_t size = from_hex(row[i].bytes, bytes);
        strbuf_clear(&text);
        unsigned length = disas_insn(style, bytes, size, 0x401000, &text);
        assert_string_equal(text.data, row[i].text);
        assert_int_equal(length, size);
    }
    strbuf_free(&text);
}

static void test_att(void **state)
{
    static const struct disas_style style = {.mode = DISAS_64, .syntax = DISAS_ATT};
    static const struct insn rows[] = {
        {"55", "pushq    %rbp"},
        {"4889e7", "movq     %rsp, %rdi"},
        {"4889bd78ffffff", "movq     %rdi, -0x88(%rbp)"},
        {"488d050b000000", "leaq     0xb(%rip), %rax"},
        {"49bc785b820240000000", "movabsq  $0x4002825b78, %r12"},
        {"e806000000", "callq    0x40100b"},
        {"ff25b3010000", "jmpq     *0x1b3(%rip)"},
        {"ffe6", "jmpq     *%rsi"},
        {"0f8434000000", "je       0x40103a"},
        {"7600", "jbe      0x401002"},
        {"c3", "retq     "},
        {"c20800", "retq     $8"},
        {"f0ff0424", "lock incl (%rsp)"},
        {"f3aa", "rep stosb %al, (%rdi)"},
        {"f2ae", "repne scasb (%rdi), %al"},
        {"48ad", "lodsq    (%rsi), %rax"},
        {"a5", "movsl    (%rsi), (%rdi)"},
        {"66a7", "cmpsw    (%rdi), (%rsi)"},
        {"48d1e0", "shlq     $1, %rax"},
        {"c8080001", "enter    $8, $1"},
        {"6afd", "pushq    $-3"},
        {"0f94c0", "sete     %al"},
        {"0f4e08", "cmovlel  (%rax), %ecx"},
        {"0fb708", "movzwl   (%rax), %ecx"},
        {"4863c1", "movslq   %ecx, %rax"},
        {"4898", "cltq     "},
        {"4899", "cqto     "},
        {"4883e4f0", "andq     $0xfffffffffffffff0, %rsp"},
        {"83c0ff", "addl     $-1, %eax"},
        {"4981c468fdffff", "addq     $-0x298, %r12"},
        {"b0ff", "movb     $0xff, %al"},
        {"64c7042524090000feffffff", "movl     $0xfffffffe, %fs:0x924"},
        {"64488b042500000000", "movq     %fs:0, %rax"},
        {"f0480fc70f", "lock cmpxchg16b (%rdi)"},
        {"dd00", "fldl     (%rax)"},
        {"d900", "flds     (%rax)"},
        {"db28", "fldt     (%rax)"},
        {"df28", "fildll   (%rax)"},
        {"d8c1", "fadd     %st(1)"},
        {"dcc1", "fadd     %st(0), %st(1)"},
        {"dec1", "faddp    %st(1)"},
        {"dee1", "fsubp    %st(1)"},
        {"dbc1", "fcmovnb  %st(1), %st(0)"},
        {"d938", "fnstcw   (%rax)"},
        {"66480f6ec8", "movq     %rax, %xmm1"},
        {"f20f2a08", "cvtsi2sdl (%rax), %xmm1"},
        {"f2480f2ac8", "cvtsi2sdq %rax, %xmm1"},
        {"0fc6d104", "shufps   $4, %xmm1, %xmm2"},
        {"480fc301", "movntiq  %rax, (%rcx)"},
        {"f2480f38f1c8", "crc32q   %rax, %rcx"},
        {"f3480fb8c8", "popcntq  %rax, %rcx"},
        {"c5ec58d9", "vaddps   %ymm1, %ymm2, %ymm3"},
        {"c5fd5a10", "vcvtpd2psy (%rax), %xmm2"},
        {"c4e2e0f2c8", "andnq    %rax, %rbx, %rcx"},
        {"0f1f440000", "nopl     (%rax, %rax)"},
        {"662e0f1f840000000000", "nopw     %cs:(%rax, %rax)"},
        {"f30f1efa", "endbr64  "},
        {"f390", "pause    "},
        {"ec", "inb      %dx, %al"},
        {"cd80", "int      $0x80"},
        {"48cf", "iretq    "},
        {"0f05", "syscall  "},
        {"8d1c8500000000", "leal     (, %rax, 4), %ebx"},
        {"678d58ff", "leal     -1(%eax), %ebx"},
    };
    (void)state;
    compare(&style, rows, COUNT(rows));
}

static void test_intel(void **state)
{
    static const struct disas_style style = {.mode = DISAS_64, .syntax = DISAS_INTEL};
    static const struct insn rows[] = {
        {"4889e7", "mov      rdi, rsp"},
        {"4889bd78ffffff", "mov      [rbp-0x88], rdi"},
        {"488d050b000000", "lea      rax, [rip+0xb]"},
        {"e806000000", "call     0x40100b"},
        {"c3", "ret      "},
        {"c5ec58d9", "vaddps   ymm3, ymm2, ymm1"},
    };
    (void)state;
    compare(&style, rows, COUNT(rows));
}

static void test_other_modes(void **state)
{
    static const struct disas_style wide = {.mode = DISAS_32}, narrow = {.mode = DISAS_16};
    static const struct insn rows32[] = {
        {"89e5", "movl     %esp, %ebp"},
        {"50", "pushl    %eax"},
        {"40", "incl     %eax"},
        {"c3", "retl     "},
        {"8b4508", "movl     8(%ebp), %eax"},
        {"268b00", "movl     %es:(%eax), %eax"},
        {"a178563412", "movl     0x12345678, %eax"},
    };
    static const struct insn rows16[] = {
        {"89e5", "movw     %sp, %bp"},
        {"50", "pushw    %ax"},
        {"8b4704", "movw     4(%bx), %ax"},
        {"6689c8", "movl     %ecx, %eax"},
        {"ea0000ffff", "ljmpw    $0xffff, $0x0"},
    };
    (void)state;
    compare(&wide, rows32, COUNT(rows32));
    compare(&narrow, rows16, COUNT(rows16));
}

static void test_no_instruction(void **state)
{
    static const struct disas_style styles[] = {{.mode = DISAS_64, .syntax = DISAS_ATT},
                                                {.mode = DISAS_64, .syntax = DISAS_INTEL}};
    struct strbuf text;
    (void)state;
    strbuf_init(&text);
    for (unsigned i = 0; i < COUNT(styles); i++) {
        strbuf_clear(&text);
        assert_int_equal(disas_insn(&styles[i], "\x06\x90", 2, 0, &text), 1);
        assert_string_equal(text.data, ".byte    0x06");
        strbuf_clear(&text);
        assert_int_equal(disas_insn(&styles[i], "\x48\x89", 2, 0, &text), 1);
        assert_string_equal(text.data, ".byte    0x48");
        strbuf_clear(&text);
        assert_int_equal(disas_insn(&styles[i], "", 0, 0, &text), 0);
        assert_string_equal(text.data, "");
    }
    strbuf_free(&text);
}

static bool name(void *opaque, uint64_t address, struct strbuf *text)
{
    assert_ptr_equal(opaque, &name);
    if (address != 0x40100b) {
        return false;
    }
    strbuf_puts(text, "prog!foo");
    return true;
}

static void test_names(void **state)
{
    static const struct insn rows[] = {
        {"e806000000", "callq    0x40100b <prog!foo>"},
        {"e807000000", "callq    0x40100c"},
        {"488d0504000000", "leaq     4(%rip), %rax <prog!foo>"},
        {"4889e7", "movq     %rsp, %rdi"},
    };
    const struct disas_style style = {.mode = DISAS_64, .name = name, .opaque = (void *)&name};
    (void)state;
    compare(&style, rows, COUNT(rows));
}

/* As qemu-x86_64 -d in_asm of Debian 12 prints it. */
static void test_in_asm(void **state)
{
    static const struct disas_style style = {.mode = DISAS_64};
    static const uint8_t code[] = {0x90, 0x48, 0x8d, 0x05, 0x0b, 0x00, 0x00, 0x00,
                                   0xe8, 0x06, 0x00, 0x00, 0x00, 0x49, 0xbc, 0x78,
                                   0x5b, 0x82, 0x02, 0x40, 0x00, 0x00, 0x00, 0x06};
    struct strbuf text;
    (void)state;
    strbuf_init(&text);
    disas_in_asm(&style, "_start", code, sizeof code, 0x401000, &text);
    assert_string_equal(text.data,
                        "----------------\n"
                        "IN: _start\n"
                        "0x00401000:  90                       nop      \n"
                        "0x00401001:  48 8d 05 0b 00 00 00     leaq     0xb(%rip), %rax\n"
                        "0x00401008:  e8 06 00 00 00           callq    0x401013\n"
                        "0x0040100d:  49 bc 78 5b 82 02 40 00  movabsq  $0x4002825b78, %r12\n"
                        "0x00401015:  00 00\n"
                        "0x00401017:  06                       .byte    0x06\n"
                        "\n");
    strbuf_clear(&text);
    disas_in_asm(&style, NULL, "\xc3", 1, 0x7f8dd400002c, &text);
    assert_string_equal(text.data, "----------------\n"
                                   "IN: \n"
                                   "0x7f8dd400002c:  c3                       retq     \n"
                                   "\n");
    strbuf_free(&text);
}

static void test_out_asm(void **state)
{
    static const struct disas_style style = {.mode = DISAS_64};
    static const uint8_t code[] = {0x8b, 0x5d, 0xf8, 0x85, 0xdb, 0xc3, 0x90, 0x90,
                                   0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    static const struct disas_mark marks[] = {
        {0, 0x4002825b70, " + tb prologue", NULL, false},
        {5, 0x4002825b73, NULL, NULL, false},
        {8, 0, NULL, "data: [size=8]", true},
    };
    struct strbuf text;
    (void)state;
    strbuf_init(&text);
    disas_out_asm(&style, code, sizeof code, 0x7f8dd4000100, marks, COUNT(marks), &text);
    assert_string_equal(text.data,
                        "OUT: [size=16]\n"
                        "  -- guest addr 0x0000004002825b70 + tb prologue\n"
                        "0x7f8dd4000100:  8b 5d f8                 movl     -8(%rbp), %ebx\n"
                        "0x7f8dd4000103:  85 db                    testl    %ebx, %ebx\n"
                        "  -- guest addr 0x0000004002825b73\n"
                        "0x7f8dd4000105:  c3                       retq     \n"
                        "0x7f8dd4000106:  90                       nop      \n"
                        "0x7f8dd4000107:  90                       nop      \n"
                        "  -- data: [size=8]\n"
                        "0x7f8dd4000108:  .quad  0x1122334455667788\n"
                        "\n");
    strbuf_clear(&text);
    disas_out_asm(&style, code, 6, 0x1000, NULL, 0, &text);
    assert_int_equal(strncmp(text.data, "OUT: [size=6]\n0x00001000:  8b", 28), 0);
    strbuf_free(&text);
}

/* Whatever the bytes are: a length within them, a line, and the same length in both syntaxes. */
static void test_random(void **state)
{
    struct strbuf text;
    uint64_t seed = 0x9e3779b97f4a7c15;
    (void)state;
    strbuf_init(&text);
    for (unsigned round = 0; round < 100000; round++) {
        uint64_t words[2];
        for (unsigned i = 0; i < 2; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            words[i] = seed;
        }
        size_t size = 1 + round % 16;
        struct disas_style style = {.mode = (enum disas_mode)(round % 3)};
        strbuf_clear(&text);
        unsigned length = disas_insn(&style, words, size, seed, &text);
        assert_in_range(length, 1, size < DISAS_LENGTH_MAX ? size : DISAS_LENGTH_MAX);
        assert_true(text.len >= 9);
        assert_null(memchr(text.data, '\n', text.len));
        style.syntax = DISAS_INTEL;
        assert_int_equal(disas_insn(&style, words, size, seed, &text), length);
    }
    strbuf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_att),         cmocka_unit_test(test_intel),
        cmocka_unit_test(test_other_modes), cmocka_unit_test(test_no_instruction),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_in_asm),
        cmocka_unit_test(test_out_asm),     cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
