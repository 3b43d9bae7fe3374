/* SPDX-License-Identifier: MIT
 *
 * Filters of system calls: the classic BPF machine, the filters of a thread, and what is done with
 * their answers (man 2 seccomp; the kernel's Documentation/userspace-api/seccomp_filter.rst).
 *
 * Filters are a chain, newest first, that threads and children share with those who set the older
 * part; they are never freed, as little as in a process that keeps them. */
#include "user/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/signals.h"
#include "user/syscalls.h"

enum {
    INSTRUCTIONS_MAX = 32768, /* of all filters together, with 4 for each filter */
    FILTER_COST = 4,
    ERRNO_MAX = 4095,
    SAVE_MAGIC = 0x76736563,
    STRICT_LENGTH = 0,
    CODE_SECCOMP = 1, /* si_code SYS_SECCOMP */
};

/* One filter; of length STRICT_LENGTH: strict mode. */
struct user_seccomp {
    struct user_seccomp *older;
    unsigned length;
    bool log;
    struct sock_filter *program;
};

/* --- the machine --- */

static bool is_load_place(uint32_t k)
{
    return k < sizeof(struct seccomp_data) && k % sizeof(uint32_t) == 0;
}

/* Instructions that a filter may have, and what their k must be. */
static bool check_instruction(const struct sock_filter *insn, unsigned left)
{
    switch (insn->code) {
    case BPF_LD | BPF_W | BPF_ABS: return is_load_place(insn->k);
    case BPF_ST:
    case BPF_STX:
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM: return insn->k < BPF_MEMWORDS;
    case BPF_ALU | BPF_DIV | BPF_K: return insn->k != 0;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K: return insn->k < 32;
    case BPF_JMP | BPF_JA: return insn->k < left;
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JEQ | BPF_X:
    case BPF_JMP | BPF_JGE | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_X:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_X:
    case BPF_JMP | BPF_JSET | BPF_K:
    case BPF_JMP | BPF_JSET | BPF_X: return insn->jt < left && insn->jf < left;
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_ALU | BPF_ADD | BPF_K:
    case BPF_ALU | BPF_ADD | BPF_X:
    case BPF_ALU | BPF_SUB | BPF_K:
    case BPF_ALU | BPF_SUB | BPF_X:
    case BPF_ALU | BPF_MUL | BPF_K:
    case BPF_ALU | BPF_MUL | BPF_X:
    case BPF_ALU | BPF_DIV | BPF_X:
    case BPF_ALU | BPF_AND | BPF_K:
    case BPF_ALU | BPF_AND | BPF_X:
    case BPF_ALU | BPF_OR | BPF_K:
    case BPF_ALU | BPF_OR | BPF_X:
    case BPF_ALU | BPF_XOR | BPF_K:
    case BPF_ALU | BPF_XOR | BPF_X:
    case BPF_ALU | BPF_LSH | BPF_X:
    case BPF_ALU | BPF_RSH | BPF_X:
    case BPF_ALU | BPF_NEG:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A: return true;
    default: return false;
    }
}

/* Words of scratch memory are read only where they have been written on every way there. */
static bool check_memory(const struct sock_filter *program, unsigned length)
{
    uint16_t *known = mem_resize(NULL, length, sizeof *known), now = 0;
    bool ok = true;

    memset(known, 0xff, length * sizeof *known);
    for (unsigned i = 0; i < length && ok; i++) {
        const struct sock_filter *insn = &program[i];
        now &= known[i];
        switch (insn->code) {
        case BPF_ST:
        case BPF_STX: now |= (uint16_t)(1u << insn->k); break;
        case BPF_LD | BPF_MEM:
        case BPF_LDX | BPF_MEM: ok = now >> insn->k & 1; break;
        case BPF_JMP | BPF_JA:
            known[i + 1 + insn->k] &= now;
            now = 0xffff;
            break;
        default:
            if (BPF_CLASS(insn->code) == BPF_JMP) {
                known[i + 1 + insn->jt] &= now;
                known[i + 1 + insn->jf] &= now;
                now = 0xffff;
            }
            break;
        }
    }
    free(known);
    return ok;
}

bool user_bpf_check(const struct sock_filter *program, unsigned length)
{
    if (length == 0 || length > BPF_MAXINSNS) {
        return false;
    }
    for (unsigned i = 0; i < length; i++) {
        if (!check_instruction(&program[i], length - i - 1)) {
            return false;
        }
    }
    return BPF_CLASS(program[length - 1].code) == BPF_RET && check_memory(program, length);
}

static uint32_t arithmetic(unsigned operation, uint32_t a, uint32_t b)
{
    switch (operation) {
    case BPF_ADD: return a + b;
    case BPF_SUB: return a - b;
    case BPF_MUL: return a * b;
    case BPF_DIV: return a / b;
    case BPF_AND: return a & b;
    case BPF_OR: return a | b;
    case BPF_XOR: return a ^ b;
    case BPF_LSH: return b < 32 ? a << b : 0;
    case BPF_RSH: return b < 32 ? a >> b : 0;
    default: return -a; /* BPF_NEG */
    }
}

static bool compare(unsigned operation, uint32_t a, uint32_t b)
{
    switch (operation) {
    case BPF_JEQ: return a == b;
    case BPF_JGT: return a > b;
    case BPF_JGE: return a >= b;
    default: return (a & b) != 0; /* BPF_JSET */
    }
}

uint32_t user_bpf_run(const struct sock_filter *program, unsigned length,
                      const struct seccomp_data *data)
{
    uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0};

    for (unsigned i = 0; i < length; i++) {
        const struct sock_filter *insn = &program[i];
        uint32_t other = BPF_SRC(insn->code) == BPF_X ? x : insn->k;
        switch (insn->code) {
        case BPF_LD | BPF_W | BPF_ABS: memcpy(&a, (const uint8_t *)data + insn->k, sizeof a); break;
        case BPF_LD | BPF_W | BPF_LEN: a = sizeof *data; break;
        case BPF_LDX | BPF_W | BPF_LEN: x = sizeof *data; break;
        case BPF_LD | BPF_IMM: a = insn->k; break;
        case BPF_LDX | BPF_IMM: x = insn->k; break;
        case BPF_LD | BPF_MEM: a = memory[insn->k]; break;
        case BPF_LDX | BPF_MEM: x = memory[insn->k]; break;
        case BPF_ST: memory[insn->k] = a; break;
        case BPF_STX: memory[insn->k] = x; break;
        case BPF_MISC | BPF_TAX: x = a; break;
        case BPF_MISC | BPF_TXA: a = x; break;
        case BPF_JMP | BPF_JA: i += insn->k; break;
        case BPF_RET | BPF_K: return insn->k;
        case BPF_RET | BPF_A: return a;
        default:
            if (BPF_CLASS(insn->code) == BPF_JMP) {
                i += compare(BPF_OP(insn->code), a, other) ? insn->jt : insn->jf;
            } else if (BPF_OP(insn->code) == BPF_DIV && other == 0) {
                return 0; /* as a division by X = 0 ends a filter: SECCOMP_RET_KILL_THREAD */
            } else {
                a = arithmetic(BPF_OP(insn->code), a, other);
            }
            break;
        }
    }
    return SECCOMP_RET_KILL_PROCESS;
}

/* --- filters of a thread --- */

static unsigned cost_of(const struct user_seccomp *filter)
{
    unsigned cost = 0;

    for (; filter; filter = filter->older) {
        cost += filter->length + FILTER_COST;
    }
    return cost;
}

static bool is_strict(const struct user_seccomp *filter)
{
    return filter && filter->length == STRICT_LENGTH;
}

static struct user_seccomp *add(struct user_seccomp *older, struct sock_filter *program,
                                unsigned length, bool log)
{
    struct user_seccomp *filter = mem_alloc(sizeof *filter);

    *filter = (struct user_seccomp){older, length, log, program};
    return filter;
}

/* A program that may not gain rights by execve(), or one that has them. */
static bool may_filter(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2] = {{0, 0, 0}};

    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
           (syscall(SYS_capget, &header, caps) == 0 &&
            (caps[0].effective & 1u << CAP_SYS_ADMIN) != 0);
}

/* All threads get the filters of this one, if theirs are an older part of them. */
static int64_t synchronise(struct user_thread *thread, struct user_seccomp *filter)
{
    struct user *user = thread->user;
    int64_t result = 0;

    pthread_mutex_lock(&user->process_lock);
    for (struct user_thread *other = user->threads; other && result == 0; other = other->next) {
        const struct user_seccomp *part = filter;
        while (part && part != other->seccomp) {
            part = part->older;
        }
        if (part != other->seccomp) {
            result = other->tid;
        }
    }
    for (struct user_thread *other = user->threads; other && result == 0; other = other->next) {
        __atomic_store_n(&other->seccomp, filter, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&user->process_lock);
    return result;
}

static int64_t add_filter(struct user_thread *thread, uint64_t flags, uint64_t address)
{
    struct sock_fprog from;
    const uint64_t known = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG |
                           SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;

    /* SECCOMP_FILTER_FLAG_NEW_LISTENER: nobody could answer in our place. */
    if (flags & ~known || is_strict(thread->seccomp)) {
        return -EINVAL;
    }
    if (!user_copy_in(&from, address, sizeof from)) {
        return -EFAULT;
    }
    if (!from.filter || from.len == 0 || from.len > BPF_MAXINSNS) {
        return -EINVAL;
    }
    if (!may_filter()) {
        return -EACCES;
    }
    if (cost_of(thread->seccomp) + from.len + FILTER_COST > INSTRUCTIONS_MAX) {
        return -ENOMEM;
    }
    struct sock_filter *program = mem_resize(NULL, from.len, sizeof *program);
    bool there =
        user_copy_in(program, (uint64_t)(uintptr_t)from.filter, from.len * sizeof *program);
    if (!there || !user_bpf_check(program, from.len)) {
        free(program);
        return there ? -EINVAL : -EFAULT;
    }
    struct user_seccomp *filter =
        add(thread->seccomp, program, from.len, flags & SECCOMP_FILTER_FLAG_LOG);
    if (flags & SECCOMP_FILTER_FLAG_TSYNC) {
        int64_t other = synchronise(thread, filter);
        if (other) {
            free(filter);
            free(program);
            return flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH ? -ESRCH : other;
        }
    }
    thread->seccomp = filter;
    return 0;
}

int64_t user_seccomp_call(struct user_thread *thread, uint64_t operation, uint64_t flags,
                          uint64_t address)
{
    static const uint16_t notification_sizes[] = {80, 24, 64}; /* struct seccomp_notif_sizes */
    uint32_t action;

    switch ((uint32_t)operation) {
    case SECCOMP_SET_MODE_STRICT:
        if (flags || address || (thread->seccomp && !is_strict(thread->seccomp))) {
            return -EINVAL;
        }
        thread->seccomp = add(NULL, NULL, STRICT_LENGTH, false);
        return 0;
    case SECCOMP_SET_MODE_FILTER: return add_filter(thread, flags, address);
    case SECCOMP_GET_ACTION_AVAIL:
        if (flags) {
            return -EINVAL;
        }
        if (!user_copy_in(&action, address, sizeof action)) {
            return -EFAULT;
        }
        switch (action) {
        case SECCOMP_RET_KILL_PROCESS:
        case SECCOMP_RET_KILL_THREAD:
        case SECCOMP_RET_TRAP:
        case SECCOMP_RET_ERRNO:
        case SECCOMP_RET_TRACE:
        case SECCOMP_RET_LOG:
        case SECCOMP_RET_ALLOW: return 0;
        default: return -EOPNOTSUPP;
        }
    case SECCOMP_GET_NOTIF_SIZES:
        if (flags) {
            return -EINVAL;
        }
        return user_copy_out(address, notification_sizes, sizeof notification_sizes) ? 0 : -EFAULT;
    default: return -EINVAL;
    }
}

int64_t user_seccomp_mode(const struct user_thread *thread)
{
    return !thread->seccomp             ? SECCOMP_MODE_DISABLED
           : is_strict(thread->seccomp) ? SECCOMP_MODE_STRICT
                                        : SECCOMP_MODE_FILTER;
}

void user_seccomp_inherit(struct user_thread *to, const struct user_thread *from)
{
    to->seccomp = from->seccomp;
}

/* --- answers --- */

/* The strictest answer wins; of equal ones the newest filter's. */
static uint32_t ask(const struct user_seccomp *filter, const struct seccomp_data *data)
{
    uint32_t answer = SECCOMP_RET_ALLOW;

    for (; filter; filter = filter->older) {
        uint32_t one = user_bpf_run(filter->program, filter->length, data);
        if ((int32_t)(one & SECCOMP_RET_ACTION_FULL) <
            (int32_t)(answer & SECCOMP_RET_ACTION_FULL)) {
            answer = one;
        }
    }
    return answer;
}

static bool strict_allows(int number)
{
    return number == SYS_read || number == SYS_write || number == SYS_exit ||
           number == SYS_rt_sigreturn;
}

/* SIGSYS with what was called; the result register keeps the number, as if the call had not been.
 */
static void trap(struct user_thread *thread, const struct seccomp_data *data, uint32_t reason)
{
    siginfo_t info = {.si_signo = SIGSYS, .si_errno = (int)reason, .si_code = CODE_SECCOMP};

    info.si_call_addr = (void *)(uintptr_t)data->instruction_pointer; // NOLINT
    info.si_syscall = data->nr;
    info.si_arch = data->arch;
    user_signals_force(thread, SIGSYS, &info);
}

bool user_seccomp_allows(struct user_thread *thread, const struct seccomp_data *data,
                         int64_t *result)
{
    const struct user_seccomp *filters = __atomic_load_n(&thread->seccomp, __ATOMIC_ACQUIRE);

    if (is_strict(filters)) {
        if (!strict_allows(data->nr)) {
            user_signals_die(thread, SIGKILL);
        }
        return true;
    }
    uint32_t answer = ask(filters, data), extra = answer & SECCOMP_RET_DATA;
    switch (answer & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG: return true;
    case SECCOMP_RET_ERRNO:
        *result = -(int64_t)(extra < ERRNO_MAX ? extra : ERRNO_MAX);
        return false;
    case SECCOMP_RET_TRACE: /* nobody traces */
    case SECCOMP_RET_USER_NOTIF: /* nobody listens */ *result = -ENOSYS; return false;
    case SECCOMP_RET_TRAP:
        trap(thread, data, extra);
        *result = (int64_t)thread->cpu->state.reg[X86_RAX];
        return false;
    default: /* KILL_THREAD too: a thread alone cannot be ended by a signal here either */
        user_signals_die(thread, SIGSYS);
    }
}

/* --- through execve() --- */

/* The file: SAVE_MAGIC, number of filters; of each, oldest first: length, log, instructions. */
int user_seccomp_save(const struct user_thread *thread)
{
    unsigned count = 0;

    for (const struct user_seccomp *f = thread->seccomp; f; f = f->older) {
        count++;
    }
    int fd = count ? memfd_create("seccomp", 0) : -1;
    if (fd < 0) {
        return -1;
    }
    struct strbuf bytes;
    strbuf_init(&bytes);
    const uint32_t head[2] = {SAVE_MAGIC, count};
    strbuf_add(&bytes, head, sizeof head);
    for (unsigned i = count; i-- > 0;) {
        const struct user_seccomp *f = thread->seccomp;
        for (unsigned skip = i; skip > 0; skip--) {
            f = f->older;
        }
        const uint32_t one[2] = {f->length, f->log};
        strbuf_add(&bytes, one, sizeof one);
        strbuf_add(&bytes, f->program, f->length * sizeof *f->program);
    }
    bool ok = pwrite(fd, bytes.data, bytes.len, 0) == (ssize_t)bytes.len;
    strbuf_free(&bytes);
    if (!ok) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Bytes are taken from the front. */
static bool take(const uint8_t **at, size_t *left, void *to, size_t size)
{
    if (*left < size) {
        return false;
    }
    memcpy(to, *at, size);
    *at += size;
    *left -= size;
    return true;
}

static bool load_one(struct user_thread *thread, const uint8_t **at, size_t *left)
{
    uint32_t one[2];

    if (!take(at, left, one, sizeof one) || one[0] > BPF_MAXINSNS) {
        return false;
    }
    struct sock_filter *program = mem_resize(NULL, one[0] + 1, sizeof *program);
    if (!take(at, left, program, one[0] * sizeof *program) ||
        (one[0] != STRICT_LENGTH && !user_bpf_check(program, one[0]))) {
        free(program);
        return false;
    }
    thread->seccomp = add(thread->seccomp, program, one[0], one[1]);
    return true;
}

bool user_seccomp_load(struct user_thread *thread, int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    uint32_t head[2] = {0, 0};
    bool ok = size > 0 && size <= INSTRUCTIONS_MAX * (off_t)sizeof(struct sock_filter) * 2;
    uint8_t *bytes = ok ? mem_alloc((size_t)size) : NULL;
    const uint8_t *at = bytes;
    size_t left = (size_t)size;

    ok = ok && pread(fd, bytes, left, 0) == size && take(&at, &left, head, sizeof head) &&
         head[0] == SAVE_MAGIC;
    for (uint32_t i = 0; ok && i < head[1]; i++) {
        ok = load_one(thread, &at, &left);
    }
    free(bytes);
    close(fd);
    return ok;
}
