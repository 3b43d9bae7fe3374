/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * Four CPUs: INIT and SIPI, IPIs, TLB shootdown, contended atomic operations, what order stores are
 * seen in, MWAIT, code that another CPU changes (SDM vol. 3, chapter 8).
 */

/* options: -smp 4 */

/* bochs: no, it has one CPU */

#include "runtime/interrupt.h"

enum { CPUS = 4, START = 0x90000, STACK = 4096 };
enum { CALL_VECTOR = 0x51, HALT_VECTOR = 0x52, COUNT_VECTOR = 0x53 };

static struct event event;

/* --- how the others start: this is copied to START */

LOW uint16_t start_cs = 0;
LOW uint32_t start_cr0 = 0;
LOW volatile uint32_t start_number = 0;
static char stacks[CPUS][STACK] __attribute__((aligned(16), used));
void other_main(unsigned number);

__asm__(".pushsection .low.text, \"awx\"\n"
        ".code16\n"
        ".globl start_code, start_code_end\n"
        "start_code: cli\n"
        "xorw %ax, %ax\n"
        "movw %ax, %ds\n"
        "movw %cs, start_cs\n"
        "movl %cr0, %eax\n"
        "movl %eax, start_cr0\n"
        "lgdtl gdt_register\n"
        "orl $1, %eax\n"
        "andl $0x9fffffff, %eax\n"
        "movl %eax, %cr0\n"
        "ljmpl $8, $start_32\n"
        "start_code_end:\n"
        ".code32\n"
        "start_32: movl $0x10, %eax\n"
        "movl %eax, %ds; movl %eax, %es; movl %eax, %ss\n"
        "movl $0x20, %eax; movl %eax, %cr4\n"
        "movl $first_tables, %eax; movl %eax, %cr3\n"
        "movl $0xc0000080, %ecx; rdmsr; orl $0x100, %eax; wrmsr\n"
        "movl %cr0, %eax; orl $0x80000000, %eax; movl %eax, %cr0\n"
        "ljmp $0x38, $start_64\n"
        ".code64\n"
        "start_64: movl $1, %edi\n"
        "lock xaddl %edi, start_number\n"
        "incl %edi\n"
        "movl %edi, %eax\n"
        "shll $12, %eax\n"
        "leaq stacks + 4096(%rax), %rsp\n"
        "call other_main\n"
        "1: hlt; jmp 1b\n"
        ".popsection\n");
extern const char start_code[], start_code_end[];

/* --- what they do: call functions */

typedef void work(unsigned cpu);

static volatile struct {
    work *call;
    unsigned asked, done, id, interrupts, nmis;
} cpu[CPUS];

static void pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

static unsigned self(void)
{
    unsigned id = apic_read(APIC_ID) >> 24;
    for (unsigned i = 0; i < CPUS; i++) {
        if (cpu[i].id == id) {
            return i;
        }
    }
    return 0;
}

void other_main(unsigned number)
{
    struct table_register table = {256 * 16 - 1, (word)idt};
    __asm__ volatile("lidt %0" : : "m"(table));
    apic_start();
    apic_write(APIC_LINT0, LVT_MASKED);
    cpu[number].id = apic_read(APIC_ID) >> 24;
    cpu[number].asked = cpu[number].done = 0;
    __atomic_fetch_add(&cpu[0].asked, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        interrupts_on();
        if (cpu[number].asked != cpu[number].done) {
            interrupts_off();
            cpu[number].call(number);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            cpu[number].done = cpu[number].asked;
        }
        pause();
    }
}

static void ask(unsigned number, work *call)
{
    cpu[number].call = call;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    cpu[number].asked++;
}

static bool finished(unsigned number)
{
    time_start();
    while (cpu[number].asked != cpu[number].done) {
        if (time_passed() > 30000000) {
            return false;
        }
    }
    return true;
}

/* All four do it, and are waited for. */
static void all(work *call)
{
    for (unsigned i = 1; i < CPUS; i++) {
        ask(i, call);
    }
    call(0);
    for (unsigned i = 1; i < CPUS; i++) {
        expect_true(finished(i));
    }
}

static void send(unsigned id, uint32_t what)
{
    apic_write(APIC_ICR_HIGH, id << 24);
    apic_write(APIC_ICR, what);
    for (int i = 0; i < 1000000 && apic_read(APIC_ICR) & ICR_PENDING; i++) {
    }
}

static void start(void)
{
    memory_copy((void *)START, start_code, (size_t)(start_code_end - start_code));
    cpu[0].id = apic_read(APIC_ID) >> 24;
    test("INIT and SIPI start the others");
    apic_write(APIC_ICR, ICR_OTHERS | ICR_INIT | ICR_ASSERT | ICR_LEVEL);
    wait_time(10000, false);
    apic_write(APIC_ICR, ICR_OTHERS | ICR_STARTUP | ICR_ASSERT | START >> 12);
    time_start();
    while (cpu[0].asked < CPUS - 1 && time_passed() < 10000000) {
    }
    expect(cpu[0].asked, CPUS - 1);
    test("SIPI: CS is the vector, CR0 that of INIT");
    expect(start_cs, START >> 4);
    expect(start_cr0 & ~0x60000000u, 0x10);
    test("APIC IDs differ");
    unsigned seen = 0;
    for (unsigned i = 0; i < CPUS; i++) {
        seen |= 1u << cpu[i].id;
    }
    expect(seen, (1u << CPUS) - 1);
    test("a second SIPI does nothing");
    apic_write(APIC_ICR, ICR_OTHERS | ICR_STARTUP | ICR_ASSERT | START >> 12);
    wait_time(20000, false);
    expect(cpu[0].asked, CPUS - 1);
    expect(start_number, CPUS - 1);
}

static volatile bool is_bsp[CPUS];

static void look_at_base(unsigned number)
{
    is_bsp[number] = rdmsr(MSR_APIC_BASE) >> 8 & 1;
}

static void bsp(void)
{
    test("only the first is the BSP");
    all(look_at_base);
    expect(is_bsp[0], true);
    expect(is_bsp[1] || is_bsp[2] || is_bsp[3], false);
}

/* --- IPIs */

static void count_ipi(struct frame *frame)
{
    (void)frame;
    __atomic_fetch_add(&cpu[self()].interrupts, 1, __ATOMIC_SEQ_CST);
    apic_write(APIC_EOI, 0);
}

static void count_nmi(struct frame *frame)
{
    (void)frame;
    __atomic_fetch_add(&cpu[self()].nmis, 1, __ATOMIC_SEQ_CST);
}

static bool interrupts_reach(unsigned number, unsigned count)
{
    time_start();
    while (cpu[number].interrupts < count) {
        if (time_passed() > 10000000) {
            return false;
        }
    }
    return true;
}

static void ipis(void)
{
    trap_hook[COUNT_VECTOR] = count_ipi;
    trap_hook[VECTOR_NMI] = count_nmi;
    test("IPI by ID reaches one");
    send(cpu[2].id, ICR_ASSERT | COUNT_VECTOR);
    expect_true(interrupts_reach(2, 1));
    wait_time(5000, false);
    expect(cpu[1].interrupts + cpu[3].interrupts, 0);
    test("IPI to all others");
    apic_write(APIC_ICR, ICR_OTHERS | ICR_ASSERT | COUNT_VECTOR);
    expect_true(interrupts_reach(1, 1));
    expect_true(interrupts_reach(2, 2));
    expect_true(interrupts_reach(3, 1));
    interrupts_on();
    interrupts_off();
    expect(cpu[0].interrupts, 0);
    test("IPI to all, with the sender");
    apic_write(APIC_ICR, ICR_ALL | ICR_ASSERT | COUNT_VECTOR);
    interrupts_on();
    expect_true(interrupts_reach(0, 1));
    interrupts_off();
    expect_true(interrupts_reach(3, 2));
    test("NMI to one");
    send(cpu[1].id, ICR_NMI | ICR_ASSERT);
    time_start();
    while (!cpu[1].nmis && time_passed() < 10000000) {
    }
    expect(cpu[1].nmis, 1);
    expect(cpu[2].nmis, 0);
    test("many IPIs: each is answered");
    unsigned before = cpu[1].interrupts;
    for (unsigned i = 1; i <= 200; i++) {
        send(cpu[1].id, ICR_ASSERT | COUNT_VECTOR);
        if (!interrupts_reach(1, before + i)) {
            break;
        }
    }
    expect(cpu[1].interrupts, before + 200);
}

static volatile unsigned woken;

static void halt(unsigned number)
{
    (void)number;
    __asm__ volatile("sti; hlt; cli");
    __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
}

static void halts(void)
{
    test("an IPI wakes a CPU that halts");
    ask(1, halt);
    ask(2, halt);
    wait_time(50000, false);
    expect(woken, 0);
    send(cpu[1].id, ICR_ASSERT | COUNT_VECTOR);
    expect_true(finished(1));
    wait_time(5000, false);
    expect(woken, 1);
    send(cpu[2].id, ICR_ASSERT | COUNT_VECTOR);
    expect_true(finished(2));
    expect(woken, 2);
}

static volatile unsigned monitored[64] __attribute__((aligned(64)));

static void monitor_wait(unsigned number)
{
    while (!monitored[0]) {
        __asm__ volatile("monitor" : : "a"(monitored), "c"(0), "d"(0));
        if (!monitored[0]) {
            __asm__ volatile("mwait" : : "a"(0), "c"(0));
        }
    }
    monitored[number] = 1;
}

CODE(64, do_monitor, "monitor");

static void monitors(void)
{
    test("MWAIT ends with a store by another CPU, or MONITOR is #UD");
    if (cpuid(1, 0).c >> 3 & 1) {
        ask(1, monitor_wait);
        ask(3, monitor_wait);
        wait_time(30000, false);
        expect(monitored[1] + monitored[3], 0);
        monitored[0] = 1;
        expect_true(finished(1));
        expect_true(finished(3));
        expect(monitored[1] + monitored[3], 2);
    } else {
        struct context context = kernel_context(do_monitor);
        run(&context, &event);
        expect_event(&event, VECTOR_UD, 0, do_monitor);
    }
}

/* --- TLB shootdown */

#define PLACE UINT64_C(0x555000000000)
enum { MEMORY = 0x600000 };
static volatile unsigned answered, stop;
static volatile uint64_t last_seen[CPUS];

static void shoot(struct frame *frame)
{
    (void)frame;
    invlpg((void *)PLACE);
    __atomic_fetch_add(&answered, 1, __ATOMIC_SEQ_CST);
    apic_write(APIC_EOI, 0);
}

static void look(unsigned number)
{
    interrupts_on();
    while (!stop) {
        last_seen[number] = *(volatile uint64_t *)PLACE;
    }
    interrupts_off();
}

static void shootdown(void)
{
    test("TLB shootdown: after the answer nobody sees the old page");
    *(volatile uint64_t *)MEMORY = 0;
    *(volatile uint64_t *)(MEMORY + 0x1000) = 1;
    map_page(PLACE, MEMORY, PAGE_ALL);
    trap_hook[CALL_VECTOR] = shoot;
    for (unsigned i = 1; i < CPUS; i++) {
        ask(i, look);
    }
    unsigned wrong = 0;
    bool all_answered = true;
    for (unsigned round = 1; round <= 60 && all_answered; round++) {
        uint64_t value = round & 1;
        *page_entry(PLACE, 1) = (value ? MEMORY + 0x1000 : MEMORY) | PAGE_ALL;
        answered = 0;
        apic_write(APIC_ICR, ICR_OTHERS | ICR_ASSERT | CALL_VECTOR);
        time_start();
        while (answered < CPUS - 1) {
            if (time_passed() > 10000000) {
                all_answered = false;
                break;
            }
        }
        for (unsigned i = 1; i < CPUS; i++) {
            last_seen[i] = 2;
        }
        for (unsigned i = 1; i < CPUS; i++) {
            while (last_seen[i] == 2 && time_passed() < 10000000) {
            }
            /* The first value may be of a read before the store to last_seen. */
            last_seen[i] = 2;
            while (last_seen[i] == 2 && time_passed() < 10000000) {
            }
            wrong += last_seen[i] != value;
        }
    }
    stop = 1;
    for (unsigned i = 1; i < CPUS; i++) {
        expect_true(finished(i));
    }
    expect_true(all_answered);
    expect(wrong, 0);
}

/* --- atomic operations */

enum { ROUNDS = 4000 };
static struct {
    uint64_t add, inc, xadd, exchange_loop, locked;
    volatile uint32_t spin;
    uint64_t pair[2] __attribute__((aligned(16)));
    uint32_t bits[4];
    uint8_t byte;
} shared __attribute__((aligned(64)));
static char page_pair[8192] __attribute__((aligned(4096)));

static void count_all(unsigned number)
{
    uint32_t *crossing = (uint32_t *)(page_pair + 4094);
    uint32_t *line = (uint32_t *)(page_pair + 62);
    for (unsigned i = 0; i < ROUNDS; i++) {
        __asm__ volatile("lock addq $3, %0" : "+m"(shared.add));
        __asm__ volatile("lock incq %0" : "+m"(shared.inc));
        uint64_t one = 1;
        __asm__ volatile("lock xaddq %0, %1" : "+r"(one), "+m"(shared.xadd));
        __asm__ volatile("lock incb %0" : "+m"(shared.byte));
        uint64_t old = __atomic_load_n(&shared.exchange_loop, __ATOMIC_RELAXED), new;
        bool done;
        do {
            new = old + 1;
            __asm__ volatile("lock cmpxchgq %3, %1; setz %2"
                             : "+a"(old), "+m"(shared.exchange_loop), "=q"(done)
                             : "r"(new));
        } while (!done);
        uint32_t taken = 1;
        do {
            taken = 1;
            __asm__ volatile("xchgl %0, %1" : "+r"(taken), "+m"(shared.spin));
            if (taken) {
                pause();
            }
        } while (taken);
        shared.locked++;
        __asm__ volatile("" : : : "memory");
        shared.spin = 0;
        __asm__ volatile("lock btcl %1, %0" : "+m"(shared.bits[0]) : "r"(number));
        if (!(i & 15)) {
            uint64_t low = shared.pair[0], high = shared.pair[1];
            do {
                __asm__ volatile("lock cmpxchg16b %1; setz %0"
                                 : "=q"(done), "+m"(shared.pair), "+a"(low), "+d"(high)
                                 : "b"(low + 1), "c"(high + 2));
            } while (!done);
            __asm__ volatile("lock addl $1, %0" : "+m"(*line));
            __asm__ volatile("lock addl $0x10001, %0" : "+m"(*crossing));
        }
    }
}

static void atomics(void)
{
    test("atomic operations of four CPUs");
    all(count_all);
    uint64_t total = (uint64_t)CPUS * ROUNDS;
    expect(shared.add, 3 * total);
    expect(shared.inc, total);
    expect(shared.xadd, total);
    expect(shared.byte, (uint8_t)total);
    expect(shared.exchange_loop, total);
    expect(shared.locked, total);
    expect(shared.bits[0], 0);
    expect(shared.pair[0], total / 16);
    expect(shared.pair[1], total / 8);
    test("atomic operations across cache lines and pages");
    uint32_t crossing, line;
    memory_copy(&crossing, page_pair + 4094, 4);
    memory_copy(&line, page_pair + 62, 4);
    expect(line, total / 16);
    expect(crossing, (uint32_t)(total / 16 * 0x10001));
}

/* --- order. Two CPUs at a time meet before each round. */

static volatile uint32_t x __attribute__((aligned(64))), y __attribute__((aligned(64)));
static volatile uint32_t meeting __attribute__((aligned(64)));
static volatile uint32_t result[2], both_zero, stale, turned;
static volatile bool with_fence;

static void meet(uint32_t at)
{
    __atomic_fetch_add(&meeting, 1, __ATOMIC_SEQ_CST);
    while (meeting < at) {
        pause();
    }
}

/* Store buffering: with a fence between, not both may read 0. */
static void store_buffering(unsigned number)
{
    if (number > 1) {
        return;
    }
    for (uint32_t round = 0; round < 500; round++) {
        meet(6 * round + 2);
        uint32_t seen;
        volatile uint32_t *mine = number ? &y : &x, *other = number ? &x : &y;
        if (with_fence) {
            __asm__ volatile("movl $1, %1; mfence; movl %2, %0"
                             : "=r"(seen), "=m"(*mine)
                             : "m"(*other)
                             : "memory");
        } else {
            uint32_t one = 1;
            __asm__ volatile("xchgl %2, %1; movl %3, %0"
                             : "=&r"(seen), "+m"(*mine), "+r"(one)
                             : "m"(*other)
                             : "memory");
        }
        result[number] = seen;
        meet(6 * round + 4);
        if (!number) {
            both_zero += !result[0] && !result[1];
            x = y = 0;
        }
        meet(6 * round + 6);
    }
}

/* Message passing: stores are seen in their order, loads happen in theirs. */
static void message_passing(unsigned number)
{
    if (number > 1) {
        return;
    }
    for (uint32_t round = 0; round < 500; round++) {
        meet(4 * round + 2);
        if (!number) {
            __asm__ volatile("movl %2, %0; movl %2, %1"
                             : "=m"(x), "=m"(y)
                             : "r"(round + 1)
                             : "memory");
        } else {
            uint32_t flag, data;
            do {
                __asm__ volatile("movl %2, %0; movl %3, %1"
                                 : "=&r"(flag), "=&r"(data)
                                 : "m"(y), "m"(x)
                                 : "memory");
                stale += flag == round + 1 && data != round + 1;
            } while (flag != round + 1);
        }
        meet(4 * round + 4);
    }
}

/* The TSC handed round never goes back. */
static volatile uint64_t stamp;

static void time_stamps(unsigned number)
{
    for (uint32_t round = 0; round < 60; round++) {
        while (meeting % CPUS != number) {
            pause();
        }
        uint64_t now = rdtsc();
        turned += now < stamp;
        stamp = now;
        __atomic_fetch_add(&meeting, 1, __ATOMIC_SEQ_CST);
    }
}

static void order(void)
{
    test("order: store buffering with MFENCE");
    with_fence = true;
    all(store_buffering);
    expect(both_zero, 0);
    test("order: store buffering with XCHG");
    with_fence = false;
    meeting = 0;
    all(store_buffering);
    expect(both_zero, 0);
    test("order: message passing");
    meeting = x = y = 0;
    all(message_passing);
    expect(stale, 0);
    test("order: the TSC handed round never goes back");
    meeting = 0;
    all(time_stamps);
    expect(turned, 0);
}

/* --- code that another CPU changes */

static char code_page[4096] __attribute__((aligned(4096)));
static volatile uint32_t version, returned[CPUS];

static void run_code(unsigned number)
{
    for (uint32_t round = 1; round <= 60; round++) {
        while (version < round) {
            pause();
        }
        cpuid(0, 0); /* serializes */
        returned[number] = ((uint32_t(*)(void))code_page)();
        __atomic_fetch_add(&meeting, 1, __ATOMIC_SEQ_CST);
        while (meeting < 3 * round) {
            pause();
        }
    }
}

static void code(void)
{
    test("code that another CPU changes");
    code_page[0] = (char)0xb8;
    code_page[5] = (char)0xc3;
    meeting = version = 0;
    unsigned wrong = 0;
    bool on_time = true;
    for (unsigned i = 1; i < CPUS; i++) {
        ask(i, run_code);
    }
    for (uint32_t round = 1; round <= 60; round++) {
        uint32_t value = round * 0x01010101;
        *(volatile uint32_t *)(code_page + 1) = value;
        version = round;
        time_start();
        while (meeting < 3 * round && on_time) {
            on_time = time_passed() < 10000000;
        }
        for (unsigned i = 1; i < CPUS; i++) {
            wrong += returned[i] != value;
        }
    }
    expect_true(on_time);
    expect(wrong, 0);
    for (unsigned i = 1; i < CPUS; i++) {
        expect_true(finished(i));
    }
}

/* --- INIT of one that runs */

static volatile uint64_t beats;

static void beat(unsigned number)
{
    (void)number;
    for (;;) {
        beats++;
    }
}

static void init_again(void)
{
    test("INIT stops a CPU");
    ask(3, beat);
    wait_time(10000, false);
    expect_true(beats > 0);
    send(cpu[3].id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
    uint64_t before;
    unsigned waits = 0;
    do { /* a busy host may be late */
        before = beats;
        wait_time(20000, false);
    } while (before != beats && waits++ < 100);
    expect(beats, before);
    test("and SIPI starts it anew");
    unsigned was = cpu[0].asked;
    start_number = 2;
    send(cpu[3].id, ICR_STARTUP | ICR_ASSERT | START >> 12);
    time_start();
    while (cpu[0].asked == was && time_passed() < 10000000) {
    }
    expect(cpu[0].asked, was + 1);
    expect(start_cr0 & ~0x60000000u, 0x10);
}

void program(void)
{
    apic_start();
    start();
    if (cpu[0].asked != CPUS - 1) {
        give_up("the other CPUs are missing");
    }
    bsp();
    ipis();
    halts();
    monitors();
    shootdown();
    atomics();
    order();
    code();
    init_again();
}
