/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * Code that changes while it is used: by itself, through another mapping, by strings, by port
 * input, by DMA; the same bytes in other modes and at other places (SDM vol. 3, 8.1.3 and 11.6).
 */
#include "runtime/bare.h"

enum { MEMORY = 0x600000, OTHER = 0x602000 };
#define PLACE  UINT64_C(0x555000000000)
#define SECOND UINT64_C(0x556000000000)

static struct event event;
typedef uint64_t function(void);

static volatile uint8_t *const memory = (uint8_t *)MEMORY;

/* mov $value, %eax; ret */
static void put_function(volatile void *where, uint32_t value)
{
    volatile uint8_t *at = where;
    at[0] = 0xb8;
    for (unsigned i = 0; i < 4; i++) {
        at[1 + i] = (uint8_t)(value >> 8 * i);
    }
    at[5] = 0xc3;
}

static uint64_t call(word where)
{
    return ((function *)where)();
}

/* --- code that changes itself. It lies in memory that all may write. */

CODE(64, next_after_jump, "movb $0x55, 1f + 1(%rip); jmp 1f; 1: mov $0x11, %al; movzbl %al, %eax");
CODE(64, next_at_once, "movb $0x55, 1f + 1(%rip); 1: mov $0x11, %al; movzbl %al, %eax");
CODE(64, own_block,
     "xor %eax, %eax; mov $100, %ecx; 1: .byte 0x05; 2: .long 0; incl 2b(%rip); loop 1b");
CODE(64, before_and_after,
     "mov $3, %ecx; xor %eax, %eax; 1: incl 2f + 1(%rip); 2: .byte 0x05, 0, 0, 0, 0; nop; dec "
     "%ecx; jnz 1b");
CODE(64, by_push,
     "mov %rsp, %rdx; lea 1f + 8(%rip), %rsp; movabs $0x90909090d0ff9090, %rcx; mov $2f, %eax\n"
     "push %rcx; mov %rdx, %rsp; jmp 1f; .balign 8; 1: .fill 8, 1, 0xcc; jmp 3f; 2: mov $0x77, "
     "%eax; ret; 3:");
CODE(64, by_stos,
     "mov $0x90, %eax; lea 1f(%rip), %rdi; mov $16, %ecx; cld; rep stosb; mov $0x31, %eax; 1: "
     ".fill 16, 1, 0xcc; mov %eax, %eax");
CODE(64, by_movs,
     "lea 2f(%rip), %rsi; lea 1f(%rip), %rdi; mov $5, %ecx; cld; rep movsb; jmp 1f; 1: .fill 5, 1, "
     "0xcc; jmp 3f; 2: mov $0x1234, %eax; 3:");
CODE(64, by_xadd,
     "mov $0x44, %eax; xor %edx, %edx; lock xaddb %al, 1f + 1(%rip); jmp 1f; 1: mov $0x11, %al; "
     "movzbl %al, %eax");
CODE(64, by_cmpxchg,
     "mov $0x11, %eax; mov $0x66, %ecx; lock cmpxchgb %cl, 1f + 1(%rip); jmp 1f; 1: mov $0x11, "
     "%al; movzbl %al, %eax");
CODE(64, by_sse,
     "movabs $0x9090909000000077, %rcx; shl $8, %rcx; mov $0xb8, %cl; movq %rcx, %xmm0; mov "
     "$0xcccccccc, %edx; movq %xmm0, 1f(%rip); jmp 1f; .balign 8\n"
     "1: .fill 8, 1, 0xcc; mov %eax, %eax");
CODE(64, by_x87,
     "movl $0x55, -8(%rsp); fninit; fildl -8(%rsp); fistpl 1f + 1(%rip); jmp 1f; 1: mov $0x11, "
     "%eax");
CODE(64, own_length,
     "movb $0xeb, 1f(%rip); movb $5, 1f + 1(%rip); jmp 1f; 1: mov $0x11, %eax; jmp 2f; mov $0x22, "
     "%eax; 2:");
CODE(64, rep_itself,
     "xor %eax, %eax; lea 1f(%rip), %rdi; mov $0x90, %al; mov $8, %ecx; rep stosb; 1: .fill 8, 1, "
     "0xcc; mov $0x99, %eax");

static void by_itself(void)
{
    static const struct {
        const char *name, *code;
        word ax;
    } rows[] = {
        {"itself: the next block", next_after_jump, 0x55},
        {"itself: the next instruction", next_at_once, 0x55},
        {"itself: an immediate that each round of a loop changes", own_block, 4950},
        {"itself: the instruction behind the store, in a loop", before_and_after, 1 + 2 + 3},
        {"itself: by PUSH", by_push, 0x77},
        {"itself: by REP STOSB", by_stos, 0x31},
        {"itself: by REP MOVSB", by_movs, 0x1234},
        {"itself: by XADD", by_xadd, 0x55},
        {"itself: by CMPXCHG", by_cmpxchg, 0x66},
        {"itself: by a vector store", by_sse, 0x77},
        {"itself: by an x87 store", by_x87, 0x55},
        {"itself: other instructions, of other lengths", own_length, 0x22},
        {"itself: right behind REP STOSB", rep_itself, 0x99},
    };
    write_cr4(read_cr4() | CR4_OSFXSR);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        struct context context = kernel_context(rows[i].code);
        run(&context, &event);
        expect_done(&event);
        expect(event.at.ax, rows[i].ax);
    }
}

/* --- from elsewhere */

static void from_elsewhere(void)
{
    test("a function written anew, 500 times");
    unsigned wrong = 0;
    for (uint32_t i = 0; i < 500; i++) {
        put_function(memory, i * 0x01010101);
        wrong += call(MEMORY) != i * 0x01010101;
    }
    expect(wrong, 0);
    test("one byte of it");
    put_function(memory, 0x100);
    call(MEMORY);
    wrong = 0;
    for (unsigned i = 0; i < 256; i++) {
        memory[1] = (uint8_t)i;
        wrong += call(MEMORY) != 0x100 + i;
    }
    expect(wrong, 0);
    test("data beside code in its page");
    put_function(memory, 7);
    volatile uint64_t *data = (uint64_t *)(MEMORY + 0x800);
    *data = 0;
    uint64_t sum = 0;
    for (unsigned i = 0; i < 2000; i++) {
        sum += call(MEMORY);
        *data += sum & 1;
    }
    expect(sum, 14000);
    expect(*data, 1000);
    test("two functions of a page, one changed");
    put_function(memory, 1);
    put_function(memory + 0x100, 2);
    expect(call(MEMORY) + call(MEMORY + 0x100), 3);
    put_function(memory + 0x100, 20);
    expect(call(MEMORY) + call(MEMORY + 0x100), 21);
    put_function(memory, 10);
    expect(call(MEMORY) + call(MEMORY + 0x100), 30);
    test("code across two pages, the second part changed");
    put_function(memory + 0xffd, 0x11223344);
    expect(call(MEMORY + 0xffd), 0x11223344);
    memory[0x1000] = 0x55; /* byte 2 of the immediate */
    expect(call(MEMORY + 0xffd), 0x11553344);
    memory[0xffe] = 0x66;
    expect(call(MEMORY + 0xffd), 0x11553366);
    test("the last instruction of a page and the first of the next");
    memory[0xfff] = 0x90;
    put_function(memory + 0x1000, 0x99);
    expect(call(MEMORY + 0xfff), 0x99);
    put_function(memory + 0x1000, 0x98);
    expect(call(MEMORY + 0xfff), 0x98);
    memory[0xfff] = 0xc3;
    expect(call(MEMORY + 0x1000), 0x98);
    test("through another mapping");
    map_page(PLACE, MEMORY, PAGE_ALL);
    map_page(SECOND, MEMORY, PAGE_ALL);
    put_function(memory, 0x1111);
    expect(call(PLACE), 0x1111);
    expect(call(SECOND), 0x1111);
    put_function((void *)SECOND, 0x2222);
    expect(call(PLACE), 0x2222);
    expect(call(MEMORY), 0x2222);
    put_function(memory, 0x3333);
    expect(call(PLACE), 0x3333);
    expect(call(SECOND), 0x3333);
    test("another page at the same address");
    put_function((void *)OTHER, 0x4444);
    map_page(PLACE, OTHER, PAGE_ALL);
    expect(call(PLACE), 0x4444);
    expect(call(SECOND), 0x3333);
    map_page(PLACE, MEMORY, PAGE_ALL);
    expect(call(PLACE), 0x3333);
    put_function((void *)OTHER, 0x5555);
    expect(call(PLACE), 0x3333);
    map_page(PLACE, OTHER, PAGE_ALL);
    expect(call(PLACE), 0x5555);
    test("another page behind a jump between pages");
    map_page(PLACE + 0x1000, MEMORY + 0x1000, PAGE_ALL);
    put_function((void *)(MEMORY + 0x1000), 0x61);
    put_function((void *)(OTHER + 0x1000), 0x62);
    map_page(PLACE, MEMORY, PAGE_ALL);
    memory_copy((void *)(MEMORY + 0x200), "\xe9\xfb\x0d\x00\x00", 5); /* to PLACE + 1000 */
    unsigned got[4];
    for (unsigned i = 0; i < 4; i++) {
        map_page(PLACE + 0x1000, (i & 1 ? OTHER : MEMORY) + 0x1000, PAGE_ALL);
        got[i] = (unsigned)call(PLACE + 0x200);
    }
    expect(got[0], 0x61);
    expect(got[1], 0x62);
    expect(got[2], 0x61);
    expect(got[3], 0x62);
    test("a page that may not be executed any more");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | BIT(11));
    put_function(memory, 1);
    map_page(PLACE, MEMORY, PAGE_ALL);
    call(PLACE);
    map_page(PLACE, MEMORY, PAGE_ALL | PAGE_NX);
    struct context context = kernel_context((void *)PLACE);
    run(&context, &event);
    expect_page_fault(&event, ERROR_P | ERROR_FETCH, (void *)PLACE, PLACE);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~BIT(11));
    map_page(PLACE, MEMORY, PAGE_ALL);
    flush_all();
    test("a code page that becomes read-only, and is stored to");
    word cr0 = read_cr0();
    write_cr0(cr0 | CR0_WP);
    map_page(PLACE, MEMORY, PAGE_P | PAGE_U);
    expect(call(PLACE), 1);
    put_function(memory, 2);
    expect(call(PLACE), 2);
    write_cr0(cr0);
    test("dirty, though its page holds code");
    map_page(PLACE, MEMORY, PAGE_ALL);
    call(PLACE);
    expect(*page_entry(PLACE, 1) & (PAGE_A | PAGE_D), PAGE_A);
    *(volatile uint8_t *)(PLACE + 1) = 3;
    expect(*page_entry(PLACE, 1) & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
    expect(call(PLACE), 3);
}

/* --- by devices */

static void by_devices(void)
{
    test("by INSB");
    put_function(memory, 0x10);
    expect(call(MEMORY), 0x10);
    outb(0x70, 0x50);
    outb(0x71, 0x42);
    outb(0x70, 0x50);
    word to = MEMORY + 1;
    __asm__ volatile("cld; insb" : "+D"(to) : "d"(0x71) : "memory");
    expect(call(MEMORY), 0x42);
    test("by DMA of fw_cfg");
    deviation("bochs: there is none");
    /* The signature, QEMU, as code: push %rcx; push %r13. */
    memory_copy((void *)MEMORY, "\x90\x90\x90\x90\x48\x89\xe0\xcd\x30", 9);
    struct context context = kernel_context((void *)MEMORY);
    run(&context, &event);
    expect(event.at.ax, context.sp);
    static volatile struct {
        uint32_t control, length;
        uint64_t address;
    } __attribute__((packed, aligned(16))) access;
    access.control = __builtin_bswap32(1 << 3 | 2); /* select item 0, read */
    access.length = __builtin_bswap32(4);
    access.address = __builtin_bswap64(MEMORY);
    outl(0x514, 0);
    outl(0x518, __builtin_bswap32((uint32_t)(word)&access));
    for (int i = 0; i < 1000000 && access.control; i++) {
    }
    expect(memory[0], 'Q');
    run(&context, &event);
    expect(event.at.ax, context.sp - 16);
}

/* --- the same bytes otherwise */

CODE(32, inc_or_rex, "xor %eax, %eax; .byte 0x40; mov %ecx, %ecx");
CODE(16, size_16,
     ".byte 0xb8, 0x11, 0x22; .byte 0x90, 0x90; mov %ax, %cx"); /* mov $imm: 2 or 4 bytes */

static void other_modes(void)
{
    test("the same bytes in 32-bit and 64-bit mode");
    for (unsigned i = 0; i < 3; i++) {
        struct context context = kernel_context32(inc_or_rex);
        run(&context, &event);
        expect_done(&event);
        expect(event.at.ax, 1);
        context = kernel_context(inc_or_rex);
        run(&context, &event);
        expect_done(&event);
        expect(event.at.ax, 0);
    }
    test("the same bytes in 16-bit and 32-bit mode");
    for (unsigned i = 0; i < 3; i++) {
        struct context context = kernel_context16(size_16);
        run(&context, &event);
        expect_done(&event);
        expect(event.at.ax, 0x2211);
        context = kernel_context32(size_16);
        run(&context, &event);
        expect_done(&event);
        expect(event.at.ax, 0x90902211);
    }
    test("the same code at CPL 0 and 3");
    for (unsigned i = 0; i < 3; i++) {
        extern const char privileged[];
        struct context context = kernel_context(privileged);
        run(&context, &event);
        expect_done(&event);
        context = user_context(privileged);
        run(&context, &event);
        expect_event(&event, VECTOR_GP, 0, privileged);
    }
    test("the same code with another CS base");
    set_descriptor(FREE, descriptor(0x100, 0xffff, SEGMENT_CODE, 0));
    for (unsigned i = 0; i < 3; i++) {
        extern const char base_code[];
        struct context context = kernel_context16(base_code);
        run(&context, &event);
        expect(event.at.ax, 0x8888);
        context.cs = FREE;
        context.ip -= 0x100;
        run(&context, &event);
        expect(event.at.ax, 0x8888);
        expect(event.at.ip, event.at.cs == FREE ? (word)base_code - 0x100 + 5 : 0);
    }
}

CODE(64, privileged, "mov %cr0, %rax");
CODE(16, base_code, "mov $0x8888, %ax");

void program(void)
{
    by_itself();
    from_elsewhere();
    by_devices();
    other_modes();
}
