/* SPDX-License-Identifier: MIT
 *
 * System calls as text, and the table that it comes from. Addresses are those of this program. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "syscall/syscall.h"

/* Low addresses cannot be read. */
static size_t read_here(void *opaque, uint64_t address, void *to, size_t size)
{
    if (address < 65536) {
        return 0;
    }
    (*(unsigned *)opaque)++;
    memcpy(to, (const void *)(uintptr_t)address, size); // NOLINT
    return size;
}

#define A(value) (uint64_t)(uintptr_t)(value)

/* The text; without a result if `before`. */
static const char *text(long number, const uint64_t *args, bool before, int64_t result)
{
    static struct strbuf to;
    static char room[4096];
    unsigned reads = 0;

    strbuf_init_in(&to, room, sizeof room);
    const struct syscall_memory memory = {read_here, read_here, &reads};
    const struct syscall_call call = {(uint64_t)number, args, before ? NULL : &result, &memory};
    syscall_text(&to, &call);
    return to.data;
}

#define SHOWN(number, result, ...) \
    text(number, (const uint64_t[SYSCALL_ARGS + 1]){__VA_ARGS__}, false, result)
#define ASKED(number, ...) text(number, (const uint64_t[SYSCALL_ARGS + 1]){__VA_ARGS__}, true, 0)

/* Strings are read in blocks that are longer than they are. */
#define TEXT(words) ((char[1024]){words})

static void shows_paths_and_flags(void **state)
{
    (void)state;
    assert_string_equal(
        SHOWN(SYS_openat, 3, A(AT_FDCWD), A(TEXT("/etc/passwd")), O_RDONLY | O_CLOEXEC),
        "openat(AT_FDCWD,\"/etc/passwd\",O_RDONLY|O_CLOEXEC,0) = 3");
    assert_string_equal(
        SHOWN(SYS_open, -ENOENT, A(TEXT("a\n\"\1")), O_RDWR | O_CREAT | O_TRUNC, 0644),
        "open(\"a\\n\\\"\\001\",O_RDWR|O_CREAT|O_TRUNC,0644) = -1 errno=2 (ENOENT, No "
        "such file or directory)");
    assert_string_equal(SHOWN(SYS_mmap, 0x7f0000000000, 0, 8192, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, A(-1), 0),
                        "mmap(NULL,8192,PROT_READ|PROT_WRITE,MAP_PRIVATE|MAP_ANONYMOUS,-1,0) = "
                        "0x00007f0000000000");
    assert_string_equal(SHOWN(SYS_access, 0, A(TEXT("x")), 0), "access(\"x\",F_OK) = 0");
    assert_string_equal(SHOWN(SYS_access, 0, A(TEXT("x")), 5), "access(\"x\",R_OK|X_OK) = 0");
    assert_string_equal(SHOWN(SYS_mprotect, 0, 0x1000, 1, 0),
                        "mprotect(0x0000000000001000,1,PROT_NONE) = 0");
    assert_string_equal(SHOWN(SYS_unlinkat, 0, 3, A(TEXT("y")), 0x80000000),
                        "unlinkat(3,\"y\",0x80000000) = 0");
    assert_string_equal(SHOWN(SYS_futex, 1, 0, 129, 1, 0, 0, 0),
                        "futex(NULL,FUTEX_WAKE|FUTEX_PRIVATE_FLAG,1,NULL,NULL,0) = 1");
}

static void shows_data(void **state)
{
    (void)state;
    char long_data[64];
    struct iovec vector[2] = {{TEXT("first"), 5}, {TEXT("second"), 6}};
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/run/x"};

    memset(long_data, 'a', sizeof long_data);
    assert_string_equal(SHOWN(SYS_write, 3, 1, A("hi\n"), 3), "write(1,\"hi\\n\",3) = 3");
    assert_string_equal(SHOWN(SYS_write, 64, 1, A(long_data), 64),
                        "write(1,\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"...,64) = 64");
    assert_string_equal(SHOWN(SYS_write, -EFAULT, 1, 8, 3),
                        "write(1,0x0000000000000008,3) = -1 errno=14 (EFAULT, Bad address)");
    assert_string_equal(SHOWN(SYS_read, 2, 0, A("okay"), 4), "read(0,\"ok\",4) = 2");
    assert_string_equal(SHOWN(SYS_writev, 11, 1, A(vector), 2),
                        "writev(1,[{\"first\",5},{\"second\",6}],2) = 11");
    assert_string_equal(SHOWN(SYS_readv, 7, 1, A(vector), 2),
                        "readv(1,[{\"first\",5},{\"se\",6}],2) = 7");
    assert_string_equal(SHOWN(SYS_connect, 0, 4, A(&local), 9),
                        "connect(4,{AF_UNIX,\"/run/x\"},9) = 0");
    assert_non_null(strstr(ASKED(SYS_read, 0, A("okay"), 4), "read(0,0x"));
}

static void shows_structs(void **state)
{
    (void)state;
    int fd[2] = {5, 6}, status = 3 << 8, killed = SIGKILL;
    struct timespec time = {1, 500};
    uint64_t set = 1u << (SIGINT - 1) | UINT64_C(1) << 39, most = ~(UINT64_C(1) << (SIGKILL - 1));
    uint64_t action[4] = {1, 0x14000000, 0x1000, 0};
    struct stat stat = {.st_mode = S_IFREG | 0644, .st_size = 77};
    struct pollfd poll_fd = {7, POLLIN | POLLOUT, POLLIN};

    assert_string_equal(SHOWN(SYS_pipe2, 0, A(fd), O_CLOEXEC),
                        "pipe2([5,6],O_RDONLY|O_CLOEXEC) = 0");
    assert_string_equal(SHOWN(SYS_wait4, 12, 12, A(&status), 0, 0),
                        "wait4(12,[exited 3],0,NULL) = 12");
    assert_string_equal(SHOWN(SYS_wait4, 12, A(-1), A(&killed), 1, 0),
                        "wait4(-1,[killed SIGKILL],WNOHANG,NULL) = 12");
    assert_string_equal(SHOWN(SYS_nanosleep, 0, A(&time), 0), "nanosleep({1,500},NULL) = 0");
    assert_string_equal(SHOWN(SYS_rt_sigprocmask, 0, 0, A(&set), 0, 8),
                        "rt_sigprocmask(SIG_BLOCK,[SIGINT SIGRT_8],NULL,8) = 0");
    assert_string_equal(SHOWN(SYS_rt_sigprocmask, 0, 2, A(&most), 0, 8),
                        "rt_sigprocmask(SIG_SETMASK,~[SIGKILL],NULL,8) = 0");
    assert_string_equal(SHOWN(SYS_rt_sigaction, 0, SIGCHLD, A(action), 0, 8),
                        "rt_sigaction(SIGCHLD,{SIG_IGN,[],SA_RESTORER|SA_RESTART},NULL,8) = 0");
    assert_string_equal(SHOWN(SYS_fstat, 0, 3, A(&stat)),
                        "fstat(3,{st_mode=0100644,st_size=77}) = 0");
    assert_string_equal(SHOWN(SYS_poll, 1, A(&poll_fd), 1, A(-1)),
                        "poll([{7,POLLIN|POLLOUT:POLLIN}],1,-1) = 1");
    assert_string_equal(ASKED(SYS_clone, 0x1200011, 0, 0, 0x2000, 0),
                        "clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD,NULL,NULL,"
                        "0x0000000000002000,NULL)");
}

static void shows_what_it_does_not_know(void **state)
{
    (void)state;
    assert_string_equal(ASKED(400, 1, 2, 3, 4, 5, 6), "syscall_400(0x1,0x2,0x3,0x4,0x5,0x6)");
    assert_string_equal(ASKED(100000, 0, 0, 0, 0, 0, 0), "syscall_100000(0,0,0,0,0,0)");
    assert_string_equal(SHOWN(SYS_getpid, -4000, 0), "getpid() = -1 errno=4000 (unknown)");
    assert_string_equal(SHOWN(SYS_lseek, -5000, 1, 0, 9), "lseek(1,0,0x9) = -5000");
}

/* Names by the host's own numbers: a row in the wrong place shows. */
static void rows_are_where_they_belong(void **state)
{
    (void)state;
    static const struct {
        long number;
        const char *name;
    } some[] = {
        {SYS_read, "read"},
        {SYS_rt_sigreturn, "rt_sigreturn"},
        {SYS_sendfile, "sendfile"},
        {SYS_clone, "clone"},
        {SYS_getdents, "getdents"},
        {SYS_ptrace, "ptrace"},
        {SYS_rt_sigpending, "rt_sigpending"},
        {SYS_arch_prctl, "arch_prctl"},
        {SYS_tkill, "tkill"},
        {SYS_epoll_ctl, "epoll_ctl"},
        {SYS_newfstatat, "newfstatat"},
        {SYS_preadv, "preadv"},
        {SYS_seccomp, "seccomp"},
        {SYS_rseq, "rseq"},
        {SYS_clone3, "clone3"},
        {SYS_set_mempolicy_home_node, "set_mempolicy_home_node"},
    };

    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        const struct syscall_row *row = syscall_row((uint64_t)some[i].number);
        assert_non_null(row);
        assert_string_equal(row->name, some[i].name);
    }
    unsigned count = 0;
    for (uint64_t number = 0; number < 1000; number++) {
        const struct syscall_row *row = syscall_row(number);
        if (row) {
            count++;
            assert_non_null(strchr("IHN", row->result));
        }
    }
    assert_int_equal(count, 336 + 462 - 424 + 1);
}

/* Readers of recordings have little memory, or none. */
static void shows_addresses_where_memory_is_not_there(void **state)
{
    (void)state;
    const uint64_t args[SYSCALL_ARGS] = {0x1000, 2, 0x3000, 8};
    const int64_t result = 0;
    struct syscall_call call = {SYSCALL_poll, args, &result, NULL};
    const struct syscall_memory nothing = {NULL, NULL, NULL};
    static const struct {
        uint64_t number;
        const char *text;
    } rows[] = {
        {SYSCALL_poll, "poll(0x0000000000001000,2,12288) = 0"},
        {SYSCALL_open, "open(0x0000000000001000,O_RDWR,030000) = 0"},
        {SYSCALL_execve, "execve(0x0000000000001000,0x0000000000000002,0x0000000000003000) = 0"},
        {SYSCALL_writev, "writev(4096,0x0000000000000002,12288) = 0"},
        {SYSCALL_rt_sigprocmask,
         "rt_sigprocmask(0x1000,0x0000000000000002,0x0000000000003000,8) = 0"},
    };

    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct strbuf to;
        call.number = rows[i / 2].number;
        call.memory = i % 2 ? &nothing : NULL;
        strbuf_init(&to);
        syscall_text(&to, &call);
        assert_string_equal(to.data, rows[i / 2].text);
        strbuf_free(&to);
    }
}

static void shows_calls_of_which_little_is_known(void **state)
{
    (void)state;
    const uint64_t args[SYSCALL_ARGS] = {(uint32_t)AT_FDCWD, 0, O_WRONLY | O_APPEND};
    const int64_t result = -EACCES;
    struct syscall_call call = {SYSCALL_openat, NULL, &result, NULL};
    struct strbuf to;

    strbuf_init(&to);
    syscall_text(&to, &call);
    assert_string_equal(to.data, "openat(...) = -1 errno=13 (EACCES, Permission denied)");
    call.args = args;
    call.result = NULL;
    static const char *const each[] = {"AT_FDCWD", "NULL", "O_WRONLY|O_APPEND", "0", "", "", ""};
    for (unsigned i = 0; i < sizeof each / sizeof *each; i++) {
        strbuf_clear(&to);
        syscall_argument_text(&to, &call, i);
        assert_string_equal(to.len ? to.data : "", each[i]);
    }
    strbuf_free(&to);
}

static const char *word_of(const struct trace_words *words, uint64_t value)
{
    for (unsigned i = 0; i < words->count; i++) {
        if (words->row[i].value == value) {
            return words->row[i].word;
        }
    }
    return NULL;
}

/* Every call and error has its word, once: filters look them up by it. */
static void words_are_those_of_the_table(void **state)
{
    (void)state;
    const struct trace_words *names = syscall_name_words(), *errors = syscall_error_words();
    unsigned count = 0;

    for (uint64_t number = 0; number < SYSCALL_MAX; number++) {
        const struct syscall_row *row = syscall_row(number);
        const char *word = word_of(names, number);
        assert_int_equal(row != NULL, word != NULL);
        if (row) {
            assert_string_equal(word, row->name);
            count++;
        }
    }
    assert_int_equal(names->count, count);
    assert_string_equal(word_of(errors, (uint64_t)-ENOENT), "ENOENT");
    assert_string_equal(word_of(errors, (uint64_t)-EOPNOTSUPP), "EOPNOTSUPP");
    assert_null(word_of(errors, 0));
    for (unsigned i = 0; i < errors->count; i++) {
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(errors->row[i].word, errors->row[k].word);
        }
    }
}

static void tells_when_a_line_is_due(void **state)
{
    (void)state;
    assert_true(syscall_told_before(SYSCALL_exit_group));
    assert_true(syscall_told_before(SYSCALL_execve));
    assert_false(syscall_told_before(SYSCALL_read));
    assert_false(syscall_told_before(SYSCALL_MAX + 1));
    assert_true(syscall_told_again(SYSCALL_read, 0));
    assert_true(syscall_told_again(SYSCALL_MAX + 1, -ENOSYS));
    assert_true(syscall_told_again(SYSCALL_execve, -ENOENT));
    assert_false(syscall_told_again(SYSCALL_execve, 0));
    assert_false(syscall_told_again(SYSCALL_rt_sigreturn, -4));
}

/* No argument makes the decoder read what it may not, or write without end. */
static void survives_any_argument(void **state)
{
    (void)state;
    static const uint64_t odd[] = {0, 1, 4095, UINT64_MAX, INT64_MAX, 0x80000000, 0xffffffff};

    for (uint64_t number = 0; number < SYSCALL_MAX + 2; number++) {
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            uint64_t args[SYSCALL_ARGS], far = i % 2 ? 16 : 0;
            for (unsigned a = 0; a < SYSCALL_ARGS; a++) {
                args[a] = (odd[(i + a) % (sizeof odd / sizeof *odd)] & 0xfff) + far;
            }
            assert_true(strlen(text((long)number, args, false, (int64_t)odd[i])) < 2000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_paths_and_flags),
        cmocka_unit_test(shows_data),
        cmocka_unit_test(shows_structs),
        cmocka_unit_test(shows_what_it_does_not_know),
        cmocka_unit_test(rows_are_where_they_belong),
        cmocka_unit_test(shows_addresses_where_memory_is_not_there),
        cmocka_unit_test(shows_calls_of_which_little_is_known),
        cmocka_unit_test(words_are_those_of_the_table),
        cmocka_unit_test(tells_when_a_line_is_due),
        cmocka_unit_test(survives_any_argument),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
