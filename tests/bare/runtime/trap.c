/* SPDX-License-Identifier: MIT
 *
 * Descriptors, gates, and what becomes of an exception or interrupt: a hook takes it, or it ends
 * the run(), or, where nothing runs, the program.
 */
#include "bare.h"

void (*trap_hook[256])(struct frame *frame);
struct task_state task_state;

#ifdef __x86_64__
uint64_t idt[512] __attribute__((aligned(16)));
#else
uint64_t idt[256] __attribute__((aligned(16)));
extern word strange_ss, strange_sp;
#endif

extern word run_stack;
extern struct event *run_event;

static void record(const struct frame *f, struct event *e)
{
#ifdef __x86_64__
    e->at = (struct context){
        .ax = f->ax,
        .cx = f->cx,
        .dx = f->dx,
        .bx = f->bx,
        .bp = f->bp,
        .si = f->si,
        .di = f->di,
        .r8 = f->r8,
        .r9 = f->r9,
        .r10 = f->r10,
        .r11 = f->r11,
        .r12 = f->r12,
        .r13 = f->r13,
        .r14 = f->r14,
        .r15 = f->r15,
        .sp = f->sp,
        .ss = f->ss,
        .ip = f->ip,
        .flags = f->flags,
        .cs = f->cs,
        .ds = f->ds,
        .es = f->es,
        .fs = f->fs,
        .gs = f->gs,
    };
    e->frame = (word)&f->ip;
#else
    e->at = (struct context){
        .ax = f->ax,
        .cx = f->cx,
        .dx = f->dx,
        .bx = f->bx,
        .bp = f->bp,
        .si = f->si,
        .di = f->di,
        .sp = f->sp,
        .ss = f->ss & 0xffff,
        .ip = f->ip,
        .flags = f->flags,
        .cs = f->cs & 0xffff,
        .ds = f->ds,
        .es = f->es,
        .fs = f->fs,
        .gs = f->gs,
    };
    e->frame = (word)&f->ip;
    word frame_end = (word)&f->sp;
    if (strange_ss) {
        e->frame = strange_sp + offsetof(struct frame, ip);
        frame_end = strange_sp + offsetof(struct frame, sp);
    }
    if (f->flags & FLAG_VM) {
        e->at.es = f->v86_es & 0xffff;
        e->at.ds = f->v86_ds & 0xffff;
        e->at.fs = f->v86_fs & 0xffff;
        e->at.gs = f->v86_gs & 0xffff;
    } else if (!(f->cs & 3)) {
        e->at.sp = frame_end;
        __asm__("movl %%ss, %0" : "=r"(e->at.ss));
        if (strange_ss) {
            e->at.ss = strange_ss;
        }
    }
    strange_ss = 0;
#endif
    e->vector = f->vector;
    e->error = f->error;
    e->cr2 = read_cr2();
}

void trap(struct frame *frame)
{
    if (trap_hook[frame->vector]) {
        trap_hook[frame->vector](frame);
        return;
    }
    if (!run_stack) {
        print("exception or interrupt %lx, error code %lx, at %lx:%lx, cr2 %lx\n", frame->vector,
              frame->error, frame->cs, frame->ip, read_cr2());
        give_up("an exception outside of the code under test");
    }
    record(frame, run_event);
    resume();
}

void trap_lost(void)
{
    give_up("a hook returned to a stack that is not flat");
}

uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (uint64_t)(base >> 24) << 56 | (uint64_t)flags << 52 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)access << 40 |
           (uint64_t)(base & 0xffffff) << 16 | (limit & 0xffff);
}

void set_descriptor(unsigned selector, uint64_t value)
{
    *(volatile uint64_t *)&gdt[selector >> 3] = value;
}

void set_gate(unsigned vector, enum gate_type type, unsigned selector, word to, unsigned dpl,
              unsigned ist)
{
    uint64_t low = (to & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 |
                   (uint64_t)(0x80 | dpl << 5 | type) << 40 | (uint64_t)(to >> 16 & 0xffff) << 48;
#ifdef __x86_64__
    idt[2 * vector] = low;
    idt[2 * vector + 1] = to >> 32;
#else
    idt[vector] = low;
#endif
}

void default_gates(void)
{
    for (unsigned i = 0; i < 256; i++) {
        bool open = i == VECTOR_BP || i == VECTOR_OF || i == DONE;
        set_gate(i, GATE_INTERRUPT, KERNEL_CODE, (word)trap_entries + 16 * i, open ? 3 : 0, 0);
    }
#ifdef __x86_64__
    set_gate(VECTOR_DF, GATE_INTERRUPT, KERNEL_CODE, (word)trap_entries + 16 * VECTOR_DF, 0, 1);
#endif
}

void load_task(void)
{
    word base = (word)&task_state;
    set_descriptor(TASK, descriptor((uint32_t)base, sizeof task_state - 1, 0x89, 0));
#ifdef __x86_64__
    gdt[TASK / 8 + 1] = base >> 32;
#endif
    __asm__ volatile("ltr %w0" : : "r"(TASK));
}

void trap_start(void)
{
    default_gates();
    struct table_register table = {sizeof idt - 1, (word)idt};
    __asm__ volatile("lidt %0" : : "m"(table));
#ifdef __x86_64__
    task_state.sp[0] = (word)trap_stack_end;
    task_state.ist[0] = (word)double_stack_end;
#else
    task_state.sp0 = (word)trap_stack_end;
    task_state.ss0 = KERNEL_DATA;
#endif
    memory_set(task_state.io_map, 0xff, sizeof task_state.io_map);
    task_state.io_base = sizeof task_state;  /* no map */
    __asm__ volatile("lldt %w0" : : "r"(0)); /* a reset leaves one at 0, of 64 KiB */
    load_task();
}

/* The interrupt controllers off, their vectors out of the way: whatever ran before. */
static void quiet(void)
{
    static const uint8_t words[2][4] = {{0x11, 0x20, 4, 1}, {0x11, 0x28, 2, 1}};
    for (unsigned i = 0; i < 2; i++) {
        uint16_t port = i ? 0xa0 : 0x20;
        outb(port, words[i][0]);
        for (unsigned j = 1; j < 4; j++) {
            outb(port + 1, words[i][j]);
        }
        outb(port + 1, 0xff);
    }
}

void runtime_main(void)
{
    print_start();
    quiet();
    trap_start();
    program();
    finish();
}

static struct context flat_context(const void *ip, unsigned code, unsigned data)
{
    return (struct context){.ip = (word)ip,
                            .flags = FLAG_ONE,
                            .cs = code,
                            .ss = data,
                            .ds = data,
                            .es = data,
                            .sp = (word)low_stack_end};
}

struct context kernel_context(const void *ip)
{
    return flat_context(ip, KERNEL_CODE, KERNEL_DATA);
}

struct context kernel_context16(const void *ip)
{
    return flat_context(ip, CODE16, DATA16);
}

#ifdef __x86_64__
struct context user_context(const void *ip)
{
    return flat_context(ip, USER_CODE64, USER_DATA);
}

struct context kernel_context32(const void *ip)
{
    return flat_context(ip, CODE32, DATA32);
}

struct context user_context32(const void *ip)
{
    return flat_context(ip, USER_CODE32, USER_DATA);
}
#else
struct context user_context(const void *ip)
{
    return flat_context(ip, USER_CODE32, USER_DATA);
}
#endif
