/* SPDX-License-Identifier: MIT
 *
 * Guest memory from C: copies that end at bad addresses, and system calls that are aborted before
 * the kernel begins. A handler as small as can be plays the part of signal.c. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/access.h"

enum { PAGE = 4096 };

static uint8_t *pages; /* one that can be used, one that can be read, one that cannot */
static volatile unsigned faults, signals, aborts;
static uint64_t attention;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    faults++;
    if (!user_access_fault(context) && !user_touch_fault(signal, info, context)) {
        abort();
    }
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    signals++;
    __atomic_store_n(&attention, 1, __ATOMIC_SEQ_CST);
    aborts += user_access_abort(context);
}

/* For each test: cmocka puts handlers of its own in between. */
static void set_handlers(void)
{
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction alarm = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};

    assert_int_equal(sigaction(SIGSEGV, &fault, NULL), 0);
    assert_int_equal(sigaction(SIGBUS, &fault, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &alarm, NULL), 0);
}

static int set_up(void **state)
{
    (void)state;
    pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(pages, 'x', 2 * PAGE);
    mprotect(pages + PAGE, PAGE, PROT_READ);
    mprotect(pages + 2 * PAGE, PAGE, PROT_NONE);
    return 0;
}

static uint64_t at(size_t offset)
{
    return (uint64_t)(uintptr_t)pages + offset;
}

static void copies(void **state)
{
    (void)state;
    char data[64] = "data";
    uint32_t seen = 0;

    set_handlers();
    faults = 0;
    assert_true(user_copy_out(at(0), data, 5));
    assert_true(user_copy_in(data + 10, at(0), 5));
    assert_string_equal(data + 10, "data");
    assert_int_equal(faults, 0);
    assert_false(user_copy_out(at(PAGE - 2), data, 4));
    assert_memory_equal(pages + PAGE - 2, "da", 2); /* up to the bad byte */
    assert_false(user_copy_in(data, at(2 * PAGE - 3), 4));
    assert_int_equal(user_copy_some(data, at(2 * PAGE - 3), 60), 3);
    assert_int_equal(user_copy_some(data, 0, 60), 0);
    assert_int_equal(faults, 6); /* of sixteen bytes and more: once together, then the bad byte */
    assert_false(user_copy_in(data, UINT64_C(0x8000000000000000), 1)); /* not even tried */
    assert_false(user_copy_in(data, USER_ADDRESS_END - 1, 2));
    assert_false(user_copy_out(1, data, SIZE_MAX));
    assert_int_equal(faults, 6);
    memset(pages, 0, 8);
    assert_true(user_compare_exchange(at(0), 0, 7, &seen));
    assert_int_equal(seen, 0);
    assert_true(user_compare_exchange(at(0), 5, 9, &seen));
    assert_int_equal(seen, 7);
    assert_false(user_compare_exchange(at(PAGE), 0, 7, &seen));
    assert_false(user_compare_exchange(at(2 * PAGE), 0, 7, &seen));
}

static void fault_is(const struct vcpu_fault *fault, int signal, int code, uint64_t address,
                     uint32_t error)
{
    assert_int_equal(fault->signal, signal);
    assert_int_equal(fault->code, code);
    assert_int_equal(fault->address, address);
    assert_int_equal(fault->trap, 14);
    assert_int_equal(fault->error, error);
}

static void touches(void **state)
{
    (void)state;
    struct vcpu_fault fault = {0};
    int file = memfd_create("empty", 0);
    uint8_t *beyond = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    uint64_t bad = 0;
    char byte = 'y';

    set_handlers();
    pages[3] = 'q';
    assert_true(user_touch(at(3), false, &fault));
    assert_true(user_touch(at(3), true, &fault));
    assert_int_equal(pages[3], 'q');
    assert_int_equal(fault.signal, 0);
    assert_true(user_touch(at(PAGE + 1), false, &fault));
    assert_false(user_touch(at(PAGE + 1), true, &fault));
    fault_is(&fault, SIGSEGV, SEGV_ACCERR, at(PAGE + 1), 7);
    assert_false(user_touch(at(2 * PAGE), false, &fault));
    fault_is(&fault, SIGSEGV, SEGV_ACCERR, at(2 * PAGE), 4);
    assert_false(user_touch(16, true, &fault));
    fault_is(&fault, SIGSEGV, SEGV_MAPERR, 16, 6);
    assert_false(user_touch((uint64_t)(uintptr_t)beyond + 9, false, &fault));
    fault_is(&fault, SIGBUS, BUS_ADRERR, (uint64_t)(uintptr_t)beyond + 9, 4);
    assert_false(user_guest_memory.probe_write(NULL, at(PAGE - 1), 2, &bad));
    assert_int_equal(bad, at(PAGE));
    assert_false(user_guest_memory.read(NULL, at(2 * PAGE - 1), &fault, 2, &bad));
    assert_int_equal(bad, at(2 * PAGE));
    assert_true(user_guest_memory.write(NULL, at(3), &byte, 1, &bad));
    assert_int_equal(pages[3], 'y');
    munmap(beyond, PAGE);
    close(file);
}

static void strings(void **state)
{
    (void)state;
    char text[PAGE];

    set_handlers();
    memset(pages, 'x', PAGE);
    strcpy((char *)pages + 100, "a string");
    assert_int_equal(user_copy_string(text, at(100), sizeof text), 8);
    assert_string_equal(text, "a string");
    assert_int_equal(user_copy_string(text, at(100), 8), -ENAMETOOLONG);
    assert_int_equal(user_copy_string(text, at(2 * PAGE - 10), sizeof text), -EFAULT);
    assert_int_equal(user_copy_string(text, 0, sizeof text), -EFAULT);
    assert_int_equal(user_copy_string(text, at(0), 0), -ENAMETOOLONG);
    /* One that ends with the last byte that can be read. */
    mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE);
    pages[2 * PAGE - 1] = 0;
    mprotect(pages + PAGE, PAGE, PROT_READ);
    assert_int_equal(user_copy_string(text, at(2 * PAGE - 10), sizeof text), 9);
}

static void calls(void **state)
{
    (void)state;
    const uint64_t none[6] = {0}, bad[6] = {UINT32_MAX, at(0), 1};

    attention = 0;
    assert_int_equal(user_call_raw(&attention, SYS_getpid, none), getpid());
    assert_int_equal(user_call_raw(&attention, SYS_read, bad), -EBADF);
    attention = 1;
    assert_int_equal(user_call_raw(&attention, SYS_getpid, none), USER_CALL_RESTART);
}

__attribute__((unused)) static void interrupted_calls(void **state)
{
    (void)state;
    int fd[2];
    const struct itimerval soon = {{0, 0}, {0, 10000}};
    struct timespec long_time = {5, 0};

    set_handlers();
    assert_int_equal(pipe(fd), 0);
    const uint64_t args[6] = {(uint64_t)fd[0], at(0), 1};
    const uint64_t sleep_args[6] = {(uint64_t)(uintptr_t)&long_time};
    attention = 0;
    signals = aborts = 0;
    setitimer(ITIMER_REAL, &soon, NULL); /* one that the kernel would begin again */
    assert_int_equal(user_call_raw(&attention, SYS_read, args), USER_CALL_RESTART);
    assert_int_equal(signals, 1);
    assert_int_equal(aborts, 1);
    attention = 0;
    setitimer(ITIMER_REAL, &soon, NULL); /* one that it would not */
    assert_int_equal(user_call_raw(&attention, SYS_nanosleep, sleep_args), -EINTR);
    assert_int_equal(signals, 2);
    assert_int_equal(aborts, 1);
    close(fd[0]);
    close(fd[1]);
}

/* Until it has been made. */
static int64_t finish(uint64_t number, const uint64_t args[6])
{
    const uint64_t never = 0;
    int64_t result;

    do {
        result = user_call_raw(&never, number, args);
    } while (result == USER_CALL_RESTART);
    return result;
}

/* Signals at any moment: a call has either had its effect and gives its result, or has had none. */
__attribute__((unused)) static void no_call_is_half_done(void **state)
{
    (void)state;
    enum { ROUNDS = 20000 };
    const struct itimerval often = {{0, 50}, {0, 50}}, off = {{0, 0}, {0, 0}};
    int fd[2];
    unsigned written = 0, restarted = 0;

    set_handlers();
    assert_int_equal(pipe(fd), 0);
    const uint64_t write_args[6] = {(uint64_t)fd[1], at(0), 1},
                   read_args[6] = {(uint64_t)fd[0], at(0), 1};
    setitimer(ITIMER_REAL, &often, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        __atomic_store_n(&attention, 0, __ATOMIC_SEQ_CST);
        int64_t result = user_call_raw(&attention, SYS_write, write_args);
        if (result == USER_CALL_RESTART) {
            restarted++;
            continue;
        }
        assert_int_equal(result, 1);
        written++;
        assert_int_equal(finish(SYS_read, read_args), 1);
    }
    setitimer(ITIMER_REAL, &off, NULL);
    assert_int_equal(written + restarted, ROUNDS);
    assert_true(written > 0);
    close(fd[1]);
    assert_int_equal(finish(SYS_read, read_args), 0); /* nothing was written twice */
    close(fd[0]);
}

__attribute__((unused)) static void leave(void *argument)
{
    *(volatile int *)argument = 42;
    syscall(SYS_exit, 3);
}

__attribute__((unused)) static void children_that_share_memory(void **state)
{
    (void)state;
    volatile int value = 0;
    const uint64_t args[6] = {0x4100 | SIGCHLD}; /* CLONE_VM, CLONE_VFORK */
    int status = 0;

    for (int i = 0; i < 10; i++) {
        value = 0;
        int64_t pid = user_call_vfork(SYS_clone, args, leave, (void *)&value);
        assert_true(pid > 0);
        assert_int_equal(value, 42);
        assert_int_equal(syscall(SYS_wait4, pid, &status, 0, NULL), pid);
        assert_int_equal(status, 3 << 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies),
        cmocka_unit_test(touches),
        cmocka_unit_test(strings),
        cmocka_unit_test(calls),
#ifndef __SANITIZE_THREAD__
        /* ThreadSanitizer holds signals back until the program calls something that it knows, which
         * a bare system call is not; and it knows no children that share memory. */
        cmocka_unit_test(interrupted_calls),
        cmocka_unit_test(no_call_is_half_done),
        cmocka_unit_test(children_that_share_memory),
#endif
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, NULL);
}
