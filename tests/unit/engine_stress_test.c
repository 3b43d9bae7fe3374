/* SPDX-License-Identifier: MIT
 *
 * Everything at once, for a few seconds: CPUs on threads of their own run shared code out of a
 * cache that is far too small, while other threads forget code again and again, interrupt, and
 * switch guest probes on and off. All results must be right, and all instructions counted. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/probes.h"
#include "engine_guest.h"

enum { CPUS = 3, FUNCTIONS = 600, FUNCTION_BYTES = 64, CALLS = 400, MILLISECONDS = 1200 };

/* rdi: table of functions; rsi: how many; rdx: how many calls; they are chosen by what was
 * returned. */
GUEST_CODE(call_many, "push rbx\n push r12\n push r13\n"
                      "mov r12, rdi\n mov r13, rdx\n xor ebx, ebx\n"
                      "2: imul rax, rbx, 31\n add rax, r13\n xor edx, edx\n div rsi\n"
                      "mov edi, edx\n mov rdx, [r12 + rdx*8]\n call rdx\n"
                      "add rbx, rax\n rol rbx, 1\n dec r13\n jnz 2b\n"
                      "mov rax, rbx\n pop r13\n pop r12\n pop rbx\n ret\n");
GUEST_CODE(one_of_them, "mov eax, 0x11111111\n test edi, 1\n jz 2f\n add eax, edi\n jmp 3f\n"
                        "2: sub eax, edi\n push rax\n pop rcx\n"
                        "3: cmp edi, 300\n jb 4f\n ror eax, 3\n 4: ret\n");

static struct guest guest;
static uint64_t table[FUNCTIONS], main_pc;
static uint32_t stop;

struct runner {
    pthread_t thread;
    struct vcpu *vcpu; /* for those who interrupt; NULL when it is gone */
    unsigned number;
    uint64_t expected, calls, instructions;
    uint64_t events;
};

static struct runner runners[CPUS];
static pthread_mutex_t runners_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct runner *self;

static bool stopped(void)
{
    return __atomic_load_n(&stop, __ATOMIC_ACQUIRE);
}

static uint64_t call(struct vcpu *vcpu)
{
    return guest_call(&guest, vcpu, main_pc, (uint64_t)(uintptr_t)table, FUNCTIONS, CALLS);
}

static void *run(void *opaque)
{
    struct runner *runner = opaque;
    struct vcpu *vcpu = guest_cpu_open(&guest, runner->number);
    sigset_t none;

    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    self = runner;
    pthread_mutex_lock(&runners_lock);
    runner->vcpu = vcpu;
    pthread_mutex_unlock(&runners_lock);
    do {
        if (call(vcpu) != runner->expected)
            guest_die("CPU %u: another result\n", runner->number);
        runner->calls++;
    } while (!stopped());
    runner->instructions = vcpu_instructions(vcpu);
    pthread_mutex_lock(&runners_lock);
    runner->vcpu = NULL;
    pthread_mutex_unlock(&runners_lock);
    guest_cpu_close(vcpu);
    return NULL;
}

static void nap(long nanoseconds)
{
    struct timespec time = {0, nanoseconds};

    nanosleep(&time, NULL);
}

static void *forget_code(void *opaque)
{
    uint64_t code = (uint64_t)(uintptr_t)guest.code;

    (void)opaque;
    for (unsigned n = 0; !stopped(); n++) {
        uint64_t page = code + n % 12 * GUEST_PAGE;

        engine_invalidate(guest.engine, page, page + (n % 7 ? GUEST_PAGE : 12 * GUEST_PAGE));
        nap(100000);
    }
    return NULL;
}

static void *interrupt(void *opaque)
{
    (void)opaque;
    for (unsigned n = 0; !stopped(); n++) {
        pthread_mutex_lock(&runners_lock);
        if (runners[n % CPUS].vcpu)
            vcpu_interrupt(runners[n % CPUS].vcpu);
        pthread_mutex_unlock(&runners_lock);
        nap(150000);
    }
    return NULL;
}

static void ignore(void *opaque, const char *name, const uint64_t *values)
{
    (void)opaque, (void)name, (void)values;
}

static void *switch_probes(void *opaque)
{
    static const char *const patterns[] = {"guest_branch", "guest_call", "guest_ret",
                                           "guest_block"};

    (void)opaque;
    for (unsigned n = 0; !stopped(); n++) {
        struct guest_trace *trace = guest_trace_on(patterns[n % 4], ignore, NULL);

        nap(1000000);
        guest_trace_off(trace);
        nap(1000000);
    }
    return NULL;
}

static void count(void *opaque, const char *name, const uint64_t *values)
{
    (void)opaque, (void)name, (void)values;
    self->events++;
}

static void start(pthread_t *thread, void *(*function)(void *), void *opaque)
{
    sigset_t all, before;

    sigfillset(&all); /* only threads with a CPU can take signals */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(thread, NULL, function, opaque) != 0)
        guest_die("no thread\n");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* --- a stream that is added up --- */

static char sums_file[] = "/tmp/vitrine-stress-XXXXXX";

static struct guest_trace *sums_on(void)
{
    return guest_trace_to("guest_mem_before_exec", "sum", sums_file);
}

/* How many accesses there were. */
static uint64_t sums_off(struct guest_trace *trace)
{
    unsigned long accesses = 0;
    FILE *in;

    guest_trace_off(trace);
    in = fopen(sums_file, "r");
    assert_non_null(in);
    assert_int_equal(fscanf(in, "guest_mem_before_exec %lu", &accesses), 1);
    fclose(in);
    return accesses;
}

enum listening { NOBODY, TO_INSNS, TO_ACCESSES };

/* `listening`: all the while. */
static void everything_at_once(const struct engine_options *options, unsigned how,
                               enum listening listening)
{
    static void *(*const disturb[])(void *) = {forget_code, interrupt, switch_probes};
    pthread_t thread[3];
    struct guest_trace *trace = NULL;
    struct vcpu *vcpu;
    uint64_t expected, instructions, accesses = 0, calls = 0;

    guest_open(&guest, options, how);
    main_pc = GUEST_PUT(&guest, call_many);
    guest.used = GUEST_PAGE;
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        uint32_t constant = i * 2654435761U;

        table[i] = guest_put(&guest, one_of_them, one_of_them_end);
        memcpy((void *)(uintptr_t)(table[i] + 1), &constant, sizeof(constant)); // NOLINT
    }
    expected = guest_call_native(main_pc, (uint64_t)(uintptr_t)table, FUNCTIONS, CALLS);
    vcpu = guest_cpu_open(&guest, CPUS);
    assert_int_equal(call(vcpu), expected);
    instructions = vcpu_instructions(vcpu);
    if (listening == TO_ACCESSES) {
        trace = sums_on();
        assert_int_equal(call(vcpu), expected);
        accesses = sums_off(trace);
        assert_true(accesses > CALLS);
        trace = sums_on();
    }
    guest_cpu_close(vcpu);
    if (listening == TO_INSNS)
        trace = guest_trace_on("guest_insn", count, NULL);
    __atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < CPUS; i++) {
        runners[i] = (struct runner){.number = i, .expected = expected};
        start(&runners[i].thread, run, &runners[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        start(&thread[i], disturb[i], NULL);
    nap(MILLISECONDS % 1000 * 1000000L);
    sleep(MILLISECONDS / 1000);
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(runners[i].thread, NULL);
    for (unsigned i = 0; i < CPUS; i++)
        calls += runners[i].calls;
    if (listening == TO_INSNS)
        guest_trace_off(trace);
    if (listening == TO_ACCESSES)
        assert_int_equal(sums_off(trace), calls * accesses);
    for (unsigned i = 0; i < CPUS; i++) {
        assert_true(runners[i].calls > 0);
        if (options->count)
            assert_int_equal(runners[i].instructions, runners[i].calls * instructions);
        if (listening == TO_INSNS)
            assert_int_equal(runners[i].events, runners[i].calls * instructions);
    }
    guest_close(&guest);
}

static void small_cache(void **state)
{
    static const struct engine_options options = {.cache_size = 64 << 10, .count = true};

    (void)state;
    everything_at_once(&options, ENGINE_PAGE_EXEC, NOBODY);
}

static void small_cache_with_events(void **state)
{
    static const struct engine_options options = {.cache_size = 128 << 10, .count = true};

    (void)state;
    everything_at_once(&options, ENGINE_PAGE_EXEC, TO_INSNS);
}

static void small_cache_with_a_stream(void **state)
{
    static const struct engine_options options = {.cache_size = 256 << 10, .count = true};
    int fd = mkstemp(sums_file);

    (void)state;
    assert_true(fd >= 0);
    everything_at_once(&options, ENGINE_PAGE_EXEC, TO_ACCESSES);
    close(fd);
    unlink(sums_file);
}

static void checked_code(void **state)
{
    static const struct engine_options options = {
        .cache_size = 256 << 10, .count = true, .random_exits = true};

    (void)state;
    everything_at_once(&options, ENGINE_PAGE_EXEC | ENGINE_PAGE_CHECKED, NOBODY);
}

/* Another filter each time: exactly the instruction that it names is told, on this CPU, while
 * others run the same code under whatever filter there is at the moment. */
GUEST_CODE(three, "nop\n xchg ax, ax\n ret\n");

#ifdef __SANITIZE_THREAD__ /* each change waits for all threads, which takes long there */
enum { FILTERS = PROBE_SETS_MAX + 300 };
#else
enum { FILTERS = 20000 };
#endif

static uint64_t three_pc;

static void note_pc(void *opaque, const char *name, const uint64_t *values)
{
    (void)name;
    if (values[0] - three_pc > 3)
        guest_die("an event at %#lx, which no filter named\n", (unsigned long)values[0]);
    if (!self)
        ((uint64_t *)opaque)[values[0] - three_pc]++;
}

static void *run_three(void *opaque)
{
    struct runner *runner = opaque;
    struct vcpu *vcpu = guest_cpu_open(&guest, runner->number);
    sigset_t none;

    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    self = runner;
    while (!stopped()) {
        guest_call(&guest, vcpu, three_pc, 0, 0, 0);
        runner->calls++;
    }
    guest_cpu_close(vcpu);
    return NULL;
}

static void filters_change_without_end(void **state)
{
    static const uint8_t offsets[] = {0, 1, 3};
    uint64_t told[4] = {0}, expected[4] = {0};
    struct guest_trace *trace;
    struct vcpu *vcpu;
    char filter[64];

    (void)state;
    guest_open(&guest, NULL, ENGINE_PAGE_EXEC);
    three_pc = GUEST_PUT(&guest, three);
    vcpu = guest_cpu_open(&guest, CPUS);
    __atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
    trace = guest_trace_on("guest_insn", note_pc, told);
    guest_trace_filter(trace, "pc == 0");
    for (unsigned i = 0; i < 2; i++) {
        runners[i] = (struct runner){.number = i};
        start(&runners[i].thread, run_three, &runners[i]);
    }
    for (unsigned n = 0; n < FILTERS; n++) {
        unsigned offset = offsets[n % 3];

        snprintf(filter, sizeof(filter), "pc == %#lx", (unsigned long)three_pc + offset);
        guest_trace_filter(trace, filter);
        guest_call(&guest, vcpu, three_pc, 0, 0, 0);
        expected[offset]++;
        assert_memory_equal(told, expected, sizeof(told));
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(runners[i].thread, NULL);
        assert_true(runners[i].calls > 0);
    }
    guest_trace_off(trace);
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_cache),
        cmocka_unit_test(small_cache_with_events),
        cmocka_unit_test(small_cache_with_a_stream),
        cmocka_unit_test(checked_code),
        cmocka_unit_test(filters_change_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
