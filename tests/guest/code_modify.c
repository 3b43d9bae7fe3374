/* SPDX-License-Identifier: MIT
 *
 * Code that changes, one thread: stores of every kind into private code that is executed, changed
 * protection, two mappings of the same memory, shared mappings, the stack, the next instruction in
 * the same block, instructions over a page end, system calls that write code. */
#include <fcntl.h>
#include <sys/uio.h>

#include "expect.h"

typedef uint64_t function(void);

enum { RETURN_BYTES = 6 };

/* mov $value, %eax; ret */
static void put_return(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
}

static uint64_t call(const void *code)
{
    return ((function *)(uintptr_t)code)();
}

static void private_writable(void)
{
    uint8_t *code = expect_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (uint32_t i = 0; i < 3000; i++) {
        put_return(code, i * 0x01010101u);
        EXPECT_SAME(call(code), i * 0x01010101u);
    }
    /* Data beside code in one page. */
    put_return(code, 7);
    volatile uint32_t *data = (uint32_t *)(code + 2048);
    for (uint32_t i = 0; i < 3000; i++) {
        *data += (uint32_t)call(code);
    }
    EXPECT_SAME(*data, 21000);
    munmap(code, EXPECT_PAGE);
}

static void protection_toggled(void)
{
    uint8_t *code = expect_pages(1, PROT_READ | PROT_WRITE);
    for (uint32_t i = 0; i < 500; i++) {
        EXPECT(mprotect(code, EXPECT_PAGE, PROT_READ | PROT_WRITE) == 0);
        put_return(code, i);
        EXPECT(mprotect(code, EXPECT_PAGE, PROT_READ | PROT_EXEC) == 0);
        EXPECT_SAME(call(code), i);
        EXPECT_SAME(call(code), i);
    }
    munmap(code, EXPECT_PAGE);
}

static void two_mappings(void)
{
    int fd = memfd_create("code", MFD_CLOEXEC);
    EXPECT_OR_END(fd >= 0 && ftruncate(fd, 2 * EXPECT_PAGE) == 0);
    uint8_t *writable = mmap(NULL, 2 * EXPECT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *code = mmap(NULL, 2 * EXPECT_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    EXPECT_OR_END(writable != MAP_FAILED && code != MAP_FAILED);
    for (uint32_t i = 0; i < 3000; i++) {
        put_return(writable + 100, i ^ 0x5a5a);
        EXPECT_SAME(call(code + 100), i ^ 0x5a5a);
    }
    for (uint32_t i = 0; i < 300; i++) { /* over the page end */
        put_return(writable + EXPECT_PAGE - 3, i << 9);
        EXPECT_SAME(call(code + EXPECT_PAGE - 3), i << 9);
    }
    for (uint32_t i = 0; i < 300; i++) { /* written through the file */
        uint8_t bytes[RETURN_BYTES];
        put_return(bytes, i + 77);
        EXPECT(pwrite(fd, bytes, sizeof bytes, 200) == (ssize_t)sizeof bytes);
        EXPECT_SAME(call(code + 200), i + 77);
    }
    munmap(writable, 2 * EXPECT_PAGE);
    EXPECT_SAME(call(code + 200), 299 + 77);
    munmap(code, 2 * EXPECT_PAGE);
    close(fd);
}

static void shared_writable(void)
{
    uint8_t *code = mmap(NULL, EXPECT_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_OR_END(code != MAP_FAILED);
    for (uint32_t i = 0; i < 3000; i++) {
        put_return(code, i * 3);
        EXPECT_SAME(call(code), i * 3);
    }
    munmap(code, EXPECT_PAGE);
}

static void on_the_stack(void)
{
    uint8_t space[3 * EXPECT_PAGE];
    uint8_t *page = (uint8_t *)(((uintptr_t)space + EXPECT_PAGE) & -(uintptr_t)EXPECT_PAGE);
    EXPECT(mprotect(page, EXPECT_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    for (uint32_t i = 0; i < 1000; i++) {
        put_return(page + 64, i + 5);
        EXPECT_SAME(call(page + 64), i + 5);
    }
    EXPECT(mprotect(page, EXPECT_PAGE, PROT_READ | PROT_WRITE) == 0);
}

/* A call that runs wholly on a stack whose page is also the code's. */
static void stack_and_code_in_one_page(void)
{
    uint8_t *page = expect_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    /* push %rax; push %rbx; pop %rbx; pop %rcx; lea 1(%rcx), %rax; ret */
    static const uint8_t body[] = {0x50, 0x53, 0x5b, 0x59, 0x48, 0x8d, 0x41, 0x01, 0xc3};
    memcpy(page, body, sizeof body);
    uint64_t value = 0;
    for (int i = 0; i < 2000; i++) {
        __asm__ volatile("mov %%rsp, %%r12\n\t"
                         "lea 2048(%1), %%rsp\n\t"
                         "call *%1\n\t"
                         "mov %%r12, %%rsp"
                         : "+a"(value)
                         : "r"(page)
                         : "r12", "rcx", "memory", "cc");
    }
    EXPECT_SAME(value, 2000);
    munmap(page, EXPECT_PAGE);
}

/* A store changes an instruction that follows it in the same block. */
static void next_instruction(void)
{
    uint8_t *page = expect_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    /* mov %edi, 3(%rip)   89 3d 01 00 00 00   to the immediate of the mov below
     * mov $imm, %eax      b8 ....
     * ret */
    static const uint8_t body[] = {0x89, 0x3d, 0x01, 0x00, 0x00, 0x00, 0xb8, 1, 2, 3, 4, 0xc3};
    uint64_t (*code)(uint64_t) = (uint64_t(*)(uint64_t))(uintptr_t)page;
    memcpy(page, body, sizeof body);
    for (uint32_t i = 0; i < 1000; i++) {
        EXPECT_SAME(code(i * 7), i * 7);
    }
    munmap(page, EXPECT_PAGE);
    /* Wherever a translator may end its blocks. */
    for (size_t before = 0; before < 300; before++) {
        page = expect_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
        code = (uint64_t(*)(uint64_t))(uintptr_t)page;
        memset(page, 0x90, before);
        memcpy(page + before, body, sizeof body);
        for (uint32_t i = 1; i < 4; i++) {
            EXPECT_SAME(code(i * 7), i * 7);
        }
        munmap(page, EXPECT_PAGE);
    }
}

/* The same over a jump, a call and a return, a branch not taken, and many instructions. */
static void next_block(void)
{
    static const struct {
        uint8_t jump[8], length;
    } row[] = {
        {{0xeb, 0x00}, 2},                         /* jmp to the next */
        {{0xeb, 0x01, 0xcc}, 3},                   /* jmp over a byte */
        {{0x31, 0xc0, 0x75, 0x00}, 4},             /* xor %eax,%eax; jnz */
        {{0xe8, 0x00, 0x00, 0x00, 0x00, 0x58}, 6}, /* call next; pop %rax */
        {{0x56, 0x5e, 0x0f, 0x1f, 0x00}, 5},       /* push, pop, nop */
        {{0x66, 0x90}, 2},                         /* nop */
    };
    uint8_t *page = expect_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    uint64_t (*code)(uint64_t) = (uint64_t(*)(uint64_t))(uintptr_t)page;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        for (uint32_t nops = 0; nops < 150; nops += 37) {
            uint8_t *p = page;
            uint32_t distance = row[i].length + nops + 1;
            *p++ = 0x89, *p++ = 0x3d; /* mov %edi, distance(%rip): the immediate below */
            memcpy(p, &distance, 4);
            p += 4;
            memset(p, 0x90, nops);
            p += nops;
            memcpy(p, row[i].jump, row[i].length);
            p += row[i].length;
            put_return(p, 0x11);
            for (uint32_t v = 1; v < 30; v++) {
                EXPECT_SAME(code(v * 0x10001), v * 0x10001);
            }
        }
    }
    munmap(page, EXPECT_PAGE);
}

/* A store changes code before it, in a loop that jumps back into it: each turn adds one more. */
static void loop_changes_itself(void)
{
    uint8_t *page = expect_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    /* 0: xor %eax,%eax; 2: add $0,%eax (83 c0 ib); 5: incb -7(%rip) [the ib at 4];
     * 11: dec %edi; 13: jnz 2; 15: ret */
    static const uint8_t body[] = {0x31, 0xc0, 0x83, 0xc0, 0x00, 0xfe, 0x05, 0xf9,
                                   0xff, 0xff, 0xff, 0xff, 0xcf, 0x75, 0xf3, 0xc3};
    memcpy(page, body, sizeof body);
    uint64_t (*code)(uint64_t) = (uint64_t(*)(uint64_t))(uintptr_t)page;
    EXPECT_SAME(code(100), 99 * 100 / 2);
    EXPECT_SAME(page[4], 100);
    munmap(page, EXPECT_PAGE);
}

/* The second page of an instruction that lies over a page end changes alone. */
static void over_page_end(void)
{
    uint8_t *pages = expect_pages(2, PROT_READ | PROT_WRITE | PROT_EXEC);
    uint8_t *code = pages + EXPECT_PAGE - 3; /* b8 and two bytes on the first page */
    put_return(code, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t high = i & 0x7f;
        pages[EXPECT_PAGE + 1] = (uint8_t)high;
        EXPECT_SAME(call(code), (uint64_t)high << 24);
    }
    mprotect(pages, EXPECT_PAGE, PROT_READ | PROT_EXEC);
    for (uint32_t i = 0; i < 100; i++) {
        pages[EXPECT_PAGE] = (uint8_t)i;
        EXPECT_SAME(call(code) >> 16 & 0xff, i);
    }
    munmap(pages, 2 * EXPECT_PAGE);
}

/* Every kind of store reaches code. */
static void kinds_of_store(void)
{
    uint8_t *page = expect_pages(2, PROT_READ | PROT_WRITE | PROT_EXEC);
    uint8_t *code = page + 64, bytes[64] = {0};
    volatile uint32_t *imm = (uint32_t *)(code + 1);
    put_return(code, 0);

    for (int turn = 0; turn < 20; turn++) {
        uint32_t v = 0x10203040u * (uint32_t)(turn + 1);
        EXPECT_SAME(call(code), *imm);
        uint32_t taken = v;
        __asm__ volatile("xchg %0, %1" : "+m"(*imm), "+r"(taken) : : "memory");
        EXPECT_SAME(call(code), v);
        __asm__ volatile("lock addl $1, %0" : "+m"(*imm) : : "cc");
        EXPECT_SAME(call(code), v + 1);
        __asm__ volatile("notl %0" : "+m"(*imm));
        EXPECT_SAME(call(code), ~(v + 1));
        __asm__ volatile("btcl $31, %0" : "+m"(*imm) : : "cc");
        EXPECT_SAME(call(code), ~(v + 1) ^ 0x80000000u);
        __asm__ volatile("movnti %1, %0\n\tsfence" : "=m"(*imm) : "r"(v));
        EXPECT_SAME(call(code), v);
        uint32_t old = v;
        __asm__ volatile("lock cmpxchgl %2, %1" : "+a"(old), "+m"(*imm) : "r"(v + 9) : "cc");
        EXPECT_SAME(call(code), v + 9);
        __asm__ volatile("movd %1, %%xmm0\n\tmovss %%xmm0, %0" : "=m"(*imm) : "r"(v + 2) : "xmm0");
        EXPECT_SAME(call(code), v + 2);

        put_return(bytes, v + 3);
        __asm__ volatile("movdqu %1, %%xmm0\n\tmovdqu %%xmm0, %0"
                         : "=m"(*(char(*)[16])code)
                         : "m"(*(char(*)[16])bytes)
                         : "xmm0");
        EXPECT_SAME(call(code), v + 3);
        put_return(bytes, v + 4);
        void *to = code, *from = bytes;
        uint64_t count = 6;
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        EXPECT_SAME(call(code), v + 4);
        to = code + 1, count = 4;
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(turn) : "memory");
        EXPECT_SAME(call(code), (uint32_t)turn * 0x01010101u);
        uint16_t half = (uint16_t)(0x4000 + turn);
        __asm__ volatile("movw %1, %0" : "=m"(*(uint16_t *)(code + 1)) : "r"(half));
        EXPECT_SAME(call(code) & 0xffff, half);
        /* push, with the stack pointer inside the code */
        uint64_t word;
        put_return(bytes, v + 5);
        memcpy(&word, bytes, 8);
        __asm__ volatile("mov %%rsp, %%r12\n\tlea 8(%0), %%rsp\n\tpush %1\n\tmov %%r12, %%rsp"
                         :
                         : "r"(code), "r"(word)
                         : "r12", "memory");
        EXPECT_SAME(call(code), v + 5);
        /* x87 */
        uint32_t as_integer = v + 6;
        __asm__ volatile("fildl %1\n\tfistpl %0" : "=m"(*imm) : "m"(as_integer) : "st");
        EXPECT_SAME(call(code), v + 6);
    }
    munmap(page, 2 * EXPECT_PAGE);
}

/* The kernel writes the code. */
static void by_system_call(void)
{
    uint8_t *code = expect_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    int pipe_fd[2];
    EXPECT_OR_END(pipe(pipe_fd) == 0);
    for (uint32_t i = 0; i < 200; i++) {
        uint8_t bytes[RETURN_BYTES];
        put_return(bytes, i);
        EXPECT(write(pipe_fd[1], bytes, sizeof bytes) == (ssize_t)sizeof bytes);
        EXPECT(read(pipe_fd[0], code, sizeof bytes) == (ssize_t)sizeof bytes);
        EXPECT_SAME(call(code), i);
        put_return(bytes, i + 1);
        EXPECT(write(pipe_fd[1], bytes, sizeof bytes) == (ssize_t)sizeof bytes);
        struct iovec vector[2] = {{code, 2}, {code + 2, 4}};
        EXPECT(readv(pipe_fd[0], vector, 2) == (ssize_t)sizeof bytes);
        EXPECT_SAME(call(code), i + 1);
        put_return(bytes, i + 2);
        struct iovec from = {bytes, sizeof bytes}, to = {code, sizeof bytes};
        ssize_t n = process_vm_writev(getpid(), &from, 1, &to, 1, 0);
        if (n == (ssize_t)sizeof bytes) { /* may be forbidden */
            EXPECT_SAME(call(code), i + 2);
        }
    }
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    munmap(code, EXPECT_PAGE);
}

/* Code that is written, run and thrown away in one buffer, as compilers at run time do. */
static void generated(void)
{
    uint8_t *buffer = expect_pages(16, PROT_READ | PROT_WRITE | PROT_EXEC);
    uint64_t sum = 0, expected = 0;
    for (uint32_t i = 0; i < 4000; i++) {
        uint8_t *code = buffer + (i % 61) * 1024;
        uint8_t *p = code;
        *p++ = 0x31, *p++ = 0xc0; /* xor %eax, %eax */
        for (uint32_t j = 0; j < i % 17; j++) {
            *p++ = 0x83, *p++ = 0xc0, *p++ = (uint8_t)(j + i % 5); /* add $, %eax */
            expected += j + i % 5;
        }
        *p++ = 0xc3;
        sum += call(code);
    }
    EXPECT_SAME(sum, expected);
    munmap(buffer, 16 * EXPECT_PAGE);
}

int main(void)
{
    alarm(100);
    private_writable();
    protection_toggled();
    two_mappings();
    shared_writable();
    on_the_stack();
    stack_and_code_in_one_page();
    next_instruction();
    next_block();
    loop_changes_itself();
    over_page_end();
    kinds_of_store();
    by_system_call();
    generated();
    return expect_done();
}
