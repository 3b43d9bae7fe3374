/* SPDX-License-Identifier: MIT
 *
 * Filters of system calls: which programs are taken, and what they answer; compared with the
 * kernel's own machine, which runs the same programs on socket data. */
#include <errno.h>
#include <linux/audit.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/seccomp.h"

#define LENGTH(program) (unsigned)(sizeof(program) / sizeof *(program))
#define RET(k)          BPF_STMT(BPF_RET | BPF_K, k)
#define LOAD(place)     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, place)

static const struct seccomp_data sample = {
    .nr = 39,
    .arch = AUDIT_ARCH_X86_64,
    .instruction_pointer = UINT64_C(0x123456789abcdef0),
    .args = {1, UINT64_C(0xfedcba9876543210), 3, 4, 5, UINT64_MAX},
};

static void takes_and_refuses(void **state)
{
    (void)state;
    const struct sock_filter good[] = {LOAD(0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 39, 0, 1),
                                       RET(1), RET(2)};
    const struct sock_filter one[] = {RET(7)};
    const struct sock_filter no_return[] = {LOAD(0), LOAD(4)};
    const struct sock_filter outside[] = {LOAD(64), RET(0)};
    const struct sock_filter crooked[] = {LOAD(6), RET(0)};
    const struct sock_filter too_far[] = {BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0), RET(0)};
    const struct sock_filter wild[] = {BPF_JUMP(BPF_JMP | BPF_JA, UINT32_MAX, 0, 0), RET(0)};
    const struct sock_filter indirect[] = {BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RET(0)};
    const struct sock_filter modulo[] = {BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), RET(0)};
    const struct sock_filter shift[] = {BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RET(0)};
    const struct sock_filter no_word[] = {BPF_STMT(BPF_ST, BPF_MEMWORDS), RET(0)};
    const struct sock_filter written[] = {BPF_STMT(BPF_ST, 15), BPF_STMT(BPF_LD | BPF_MEM, 15),
                                          RET(0)};
    /* Written on one of two ways only. */
    const struct sock_filter perhaps[] = {LOAD(0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
                                          BPF_STMT(BPF_ST, 2), BPF_STMT(BPF_LD | BPF_MEM, 2),
                                          RET(0)};

    assert_true(user_bpf_check(good, LENGTH(good)));
    assert_true(user_bpf_check(one, 1));
    assert_true(user_bpf_check(written, LENGTH(written)));
    assert_false(user_bpf_check(good, 0));
    assert_false(user_bpf_check(good, BPF_MAXINSNS + 1));
    assert_false(user_bpf_check(no_return, LENGTH(no_return)));
    assert_false(user_bpf_check(outside, LENGTH(outside)));
    assert_false(user_bpf_check(crooked, LENGTH(crooked)));
    assert_false(user_bpf_check(too_far, LENGTH(too_far)));
    assert_false(user_bpf_check(wild, LENGTH(wild)));
    assert_false(user_bpf_check(indirect, LENGTH(indirect)));
    assert_false(user_bpf_check(modulo, LENGTH(modulo)));
    assert_false(user_bpf_check(shift, LENGTH(shift)));
    assert_false(user_bpf_check(no_word, LENGTH(no_word)));
    assert_false(user_bpf_check(perhaps, LENGTH(perhaps)));
}

static void answers(void **state)
{
    (void)state;
    const struct sock_filter words[] = {LOAD(28), BPF_STMT(BPF_RET | BPF_A, 0)};
    const struct sock_filter length[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
                                         BPF_STMT(BPF_RET | BPF_A, 0)};
    const struct sock_filter memory[] = {LOAD(0),
                                         BPF_STMT(BPF_ST, 3),
                                         BPF_STMT(BPF_LDX | BPF_IMM, 10),
                                         BPF_STMT(BPF_ALU | BPF_MUL | BPF_X, 0),
                                         BPF_STMT(BPF_STX, 4),
                                         BPF_STMT(BPF_LDX | BPF_MEM, 3),
                                         BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
                                         BPF_STMT(BPF_RET | BPF_A, 0)};
    const struct sock_filter zero[] = {BPF_STMT(BPF_LDX | BPF_IMM, 0), LOAD(0),
                                       BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), RET(5)};

    assert_int_equal(user_bpf_run(words, LENGTH(words), &sample), 0xfedcba98);
    assert_int_equal(user_bpf_run(length, LENGTH(length), &sample), sizeof sample);
    assert_int_equal(user_bpf_run(memory, LENGTH(memory), &sample), 39 * 10 + 39);
    assert_int_equal(user_bpf_run(zero, LENGTH(zero), &sample), SECCOMP_RET_KILL_THREAD);
}

static uint64_t random_state = 88172645463325252;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

/* A program of jumps forward and arithmetic that is taken or not; its answer is an errno. */
static unsigned make(struct sock_filter *program)
{
    static const uint16_t codes[] = {
        BPF_LD | BPF_W | BPF_ABS,  BPF_LD | BPF_IMM,
        BPF_LDX | BPF_IMM,         BPF_ALU | BPF_ADD | BPF_K,
        BPF_ALU | BPF_SUB | BPF_X, BPF_ALU | BPF_MUL | BPF_K,
        BPF_ALU | BPF_DIV | BPF_K, BPF_ALU | BPF_AND | BPF_X,
        BPF_ALU | BPF_OR | BPF_K,  BPF_ALU | BPF_XOR | BPF_X,
        BPF_ALU | BPF_LSH | BPF_K, BPF_ALU | BPF_RSH | BPF_K,
        BPF_ALU | BPF_NEG,         BPF_MISC | BPF_TAX,
        BPF_MISC | BPF_TXA,        BPF_ST,
        BPF_LD | BPF_MEM,          BPF_LDX | BPF_MEM,
        BPF_JMP | BPF_JEQ | BPF_K, BPF_JMP | BPF_JGT | BPF_X,
        BPF_JMP | BPF_JGE | BPF_K, BPF_JMP | BPF_JSET | BPF_K,
        BPF_JMP | BPF_JA,          BPF_LD | BPF_W | BPF_LEN,
    };
    unsigned length = 2 + draw(14), i = 0;

    for (; i < length; i++) {
        uint16_t code = codes[draw(LENGTH(codes))];
        uint32_t k = BPF_CLASS(code) == BPF_JMP           ? draw(3)
                     : code == (BPF_LD | BPF_W | BPF_ABS) ? draw(17) * 4
                                                          : draw(34);
        program[i] = (struct sock_filter){code, (uint8_t)draw(3), (uint8_t)draw(3), k};
    }
    for (unsigned over = 0; over < 2; over++) { /* no jump leads over what follows */
        program[i++] = (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0);
    }
    program[i++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff);
    program[i++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO);
    program[i++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
    return i;
}

enum { REFUSED = -1, ROUNDS = 400, PROBE = SYS_getppid };

/* What the kernel makes of it, in a child: REFUSED, or the errno of the probe. The calls that the
 * child needs are let through before the program comes. */
static int ask_kernel(const struct sock_filter *program, unsigned length)
{
    struct sock_filter all[64] = {
        LOAD(0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE, 3, 0),
        RET(SECCOMP_RET_ALLOW),
        RET(SECCOMP_RET_ALLOW),
        RET(SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_IMM, 0), /* as at the start */
    };
    const unsigned before = 6;
    static int *result;

    if (!result) {
        result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    memcpy(all + before, program, length * sizeof *program);
    pid_t pid = fork();
    if (pid == 0) {
        struct sock_fprog whole = {(unsigned short)(before + length), all};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        *result = REFUSED;
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) == 0) {
            long value = syscall(PROBE, 1, UINT64_C(0xfedcba9876543210), 3, 4, 5, 6);
            *result = value == 0 ? 0 : errno;
        }
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    return *result;
}

static void agrees_with_the_kernel(void **state)
{
    (void)state;
    struct sock_filter program[32];
    unsigned taken = 0;

    for (int i = 0; i < ROUNDS; i++) {
        unsigned length = make(program);
        bool good = user_bpf_check(program, length);
        int kernel = ask_kernel(program, length);
        if (kernel == REFUSED) {
            assert_false(good);
            continue;
        }
        assert_true(good);
        taken++;
        /* The instruction pointer differs: programs that look at it are left out. */
        bool looks = false;
        for (unsigned at = 0; at < length; at++) {
            looks = looks || (program[at].code == (BPF_LD | BPF_W | BPF_ABS) &&
                              (program[at].k == 8 || program[at].k == 12));
        }
        struct seccomp_data data = {.nr = PROBE,
                                    .arch = AUDIT_ARCH_X86_64,
                                    .args = {1, UINT64_C(0xfedcba9876543210), 3, 4, 5, 6}};
        uint32_t answer = user_bpf_run(program, length, &data) & SECCOMP_RET_DATA;
        if (!looks) {
            assert_int_equal(answer < 4095 ? answer : 4095, kernel);
        }
    }
    assert_true(taken > ROUNDS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_and_refuses),
        cmocka_unit_test(answers),
        cmocka_unit_test(agrees_with_the_kernel),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
