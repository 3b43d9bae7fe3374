/* SPDX-License-Identifier: MIT
 *
 * MOVS, STOS, LODS, CMPS, SCAS (SDM vol. 2).
 *
 * Repeated ones go forward in runs: as many elements at once as lie in RAM up to the next page end
 * of source and destination. What is no such run (device memory, an element across two pages, what
 * faults, breakpoints on data, backwards) is done element by element, with every check. Both have
 * the result of single elements one behind the other, also where source and destination overlap. */
#include <string.h>

#include "guest/x86/internal.h"

/* Between two looks at what is pending: bytes in runs; an element alone counts as many. */
enum { AT_ONCE = 64 << 10, ALONE = 64 };

struct string {
    struct x86_cpu *cpu;
    const struct native_insn *native;
    unsigned size;         /* of an element, in bytes */
    unsigned width;        /* of addresses and counter, in bytes */
    bool source;           /* at segment:rSI; else rAX */
    bool compares, stores; /* with, or to, what is at ES:rDI; neither: to rAX */
    bool ended;            /* REPE, REPNE: by what was compared */
};

static struct string open_string(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    const struct native_insn *native = &insn->native;

    return (struct string){
        .cpu = cpu,
        .native = native,
        .size = native->opcode & 1 ? native->opsize : 1,
        .width = x86_address_size(cpu, insn),
        .source = native->mem_implicit & NATIVE_STRING_SI,
        .compares = native->mem_implicit & NATIVE_STRING_DI_R,
        .stores = native->mem_implicit & NATIVE_STRING_DI_W,
    };
}

static uint64_t offset_of(const struct string *s, unsigned number)
{
    return x86_get_gpr(s->cpu, number, s->width);
}

/* The pointers, over `count` elements. */
static void advance(const struct string *s, uint64_t count)
{
    uint64_t step = s->cpu->state.flags & NATIVE_DF ? -count * s->size : count * s->size;

    if (s->source) {
        x86_set_gpr(s->cpu, X86_RSI, s->width, s->cpu->state.reg[X86_RSI] + step);
    }
    if (s->compares || s->stores) {
        x86_set_gpr(s->cpu, X86_RDI, s->width, s->cpu->state.reg[X86_RDI] + step);
    }
}

/* LODS: to rAX; bytes and words leave the rest of it alone. */
static void load(const struct string *s, uint64_t value)
{
    if (s->size == 1) {
        s->cpu->state.reg[X86_RAX] = (s->cpu->state.reg[X86_RAX] & ~UINT64_C(0xff)) | value;
    } else {
        x86_set_gpr(s->cpu, X86_RAX, s->size, value);
    }
}

/* The flags of SUB. */
static uint64_t flags_of_difference(uint64_t a, uint64_t b, unsigned size)
{
    uint64_t result = (a - b) & x86_size_mask(size), sign = UINT64_C(1) << (8 * size - 1);

    return (a < b ? NATIVE_CF : 0) | (__builtin_parity(result & 0xff) ? 0 : NATIVE_PF) |
           ((a ^ b ^ result) & NATIVE_AF) | (result ? 0 : NATIVE_ZF) |
           (result & sign ? NATIVE_SF : 0) | ((a ^ b) & (a ^ result) & sign ? NATIVE_OF : 0);
}

/* CMPS and SCAS: the flags, and whether that ends the repetition: F3 goes on while equal, F2 while
 * not. */
static void compare(struct string *s, uint64_t a, uint64_t b)
{
    uint64_t flags = flags_of_difference(a, b, s->size);

    s->cpu->state.flags = (s->cpu->state.flags & ~(uint64_t)NATIVE_ARITH) | flags;
    s->ended = !(flags & NATIVE_ZF) == !(s->native->prefix & NATIVE_F2);
}

/* --- one element */

static bool once(struct string *s, struct x86_fault *fault)
{
    struct x86_cpu *cpu = s->cpu;
    uint64_t value = x86_get_gpr(cpu, X86_RAX, s->size), other = 0;

    if (s->source) {
        value = 0;
        if (!x86_seg_read(cpu, s->native->segment, offset_of(s, X86_RSI), &value, s->size, fault)) {
            return false;
        }
    }
    if (s->stores) {
        if (!x86_seg_write(cpu, NATIVE_ES, offset_of(s, X86_RDI), &value, s->size, fault)) {
            return false;
        }
    } else if (s->compares) {
        if (!x86_seg_read(cpu, NATIVE_ES, offset_of(s, X86_RDI), &other, s->size, fault)) {
            return false;
        }
        compare(s, value, other);
    } else {
        load(s, value);
    }
    advance(s, 1);
    x86_turn_done(cpu);
    return true;
}

/* --- runs */

static inline uint64_t element(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;

    switch (size) {
    case 1: return *at;
    case 2: memcpy(&value, at, 2); return value;
    case 4: memcpy(&value, at, 4); return value;
    default: memcpy(&value, at, 8); return value;
    }
}

/* Element by element, forward. Where the destination begins within the source, at a distance of
 * whole elements, what is between the two repeats itself. */
static void copy(uint8_t *to, const uint8_t *from, size_t bytes, unsigned size)
{
    uintptr_t distance = (uintptr_t)to - (uintptr_t)from;

    if (distance == 0 || distance >= bytes) { /* before the source, too */
        memmove(to, from, bytes);
        return;
    }
    if (distance % size) {
        for (size_t done = 0; done < bytes; done += size) {
            memmove(to + done, from + done, size);
        }
        return;
    }
    for (size_t done = 0, ready = distance; done < bytes; ready = distance + done) {
        size_t piece = bytes - done < ready ? bytes - done : ready;

        memcpy(to + done, from, piece);
        done += piece;
    }
}

static void fill(uint8_t *to, uint64_t value, size_t bytes, unsigned size)
{
    if (size == 1) {
        memset(to, (int)(value & 0xff), bytes);
    } else {
        memcpy(to, &value, size);
        copy(to + size, to, bytes - size, size);
    }
}

/* The first of `count` elements that are equal, or not, else the last; `step` is 0 where one is
 * compared with all. Once for each size, which is a constant then. */
__attribute__((always_inline)) static inline size_t
find(const uint8_t *from, size_t step, const uint8_t *to, unsigned size, size_t count, bool equal)
{
    size_t i = 0;

    while (i < count - 1 &&
           (element(from + i * step, size) == element(to + i * size, size)) != equal) {
        i++;
    }
    return i;
}

/* How many elements are compared; `from`: NULL for SCAS. */
static size_t compare_run(struct string *s, const uint8_t *from, const uint8_t *to, size_t count)
{
    uint64_t value = x86_get_gpr(s->cpu, X86_RAX, s->size);
    bool equal = s->native->prefix & NATIVE_F2;
    size_t step = from ? s->size : 0, last;

    from = from ? from : (const uint8_t *)&value;
    switch (s->size) {
    case 1: last = find(from, step, to, 1, count, equal); break;
    case 2: last = find(from, step, to, 2, count, equal); break;
    case 4: last = find(from, step, to, 4, count, equal); break;
    default: last = find(from, step, to, 8, count, equal); break;
    }
    compare(s, element(from + last * step, s->size), element(to + last * s->size, s->size));
    return last + 1;
}

/* The bytes up to where an address wraps. */
static uint64_t to_wrap(const struct string *s, unsigned number)
{
    uint64_t room = x86_size_mask(s->width) - offset_of(s, number);

    return room == ~UINT64_C(0) ? room : room + 1;
}

/* How many bytes of the next `most` are whole elements in a run; 0: none. */
static size_t find_run(struct string *s, size_t most, uint8_t **from, uint8_t **to)
{
    struct x86_cpu *cpu = s->cpu;

    *from = *to = NULL;
    if (s->source) {
        uint64_t room = to_wrap(s, X86_RSI);

        most = room < most ? room : most;
        most = x86_seg_run(cpu, s->native->segment, offset_of(s, X86_RSI), most, X86_ACCESS_READ,
                           from);
    }
    if (most < s->size) {
        return 0;
    }
    if (s->compares || s->stores) {
        uint64_t room = to_wrap(s, X86_RDI);

        most = room < most ? room : most;
        most = x86_seg_run(cpu, NATIVE_ES, offset_of(s, X86_RDI), most,
                           s->stores ? X86_ACCESS_WRITE : X86_ACCESS_READ, to);
    }
    return most & ~(size_t)(s->size - 1);
}

/* Elements done, `most` bytes at most; 0: the next one is no case for this. */
static uint64_t run(struct string *s, size_t most)
{
    uint8_t *from, *to;
    size_t bytes = find_run(s, most, &from, &to), count = bytes / s->size;

    if (bytes == 0) {
        return 0;
    }
    if (s->compares) {
        count = compare_run(s, from, to, count);
    } else if (!s->stores) {
        load(s, element(from + bytes - s->size, s->size));
    } else if (s->source) {
        copy(to, from, bytes, s->size);
    } else {
        fill(to, s->cpu->state.reg[X86_RAX], bytes, s->size);
    }
    advance(s, count);
    return count;
}

/* --- REP */

static bool in_runs(const struct x86_cpu *cpu)
{
    return !(cpu->state.flags & NATIVE_DF) && !(cpu->system_flags & X86_FLAG_TF) &&
           !x86_watched(cpu) && !(cpu->system.mode & X86_MODE_ALIGN);
}

/* Elements done, `count` at most and not 0; 0 with `fault`. */
static uint64_t some(struct string *s, uint64_t count, size_t bytes, struct x86_fault *fault)
{
    uint64_t done = 0;

    if (in_runs(s->cpu)) {
        done = run(s, count < bytes / s->size ? count * s->size : bytes);
    }
    return done ? done : once(s, fault);
}

bool x86_again(struct x86_cpu *cpu)
{
    if (cpu->system.mode & X86_MODE_BREAK) {
        cpu->system_flags |= X86_FLAG_RF;
    }
    return true;
}

/* Stops before the end for debug traps, and to let others in. */
bool x86_sys_string(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    struct string s = open_string(cpu, insn);
    size_t left = AT_ONCE;

    if (!(insn->native.attributes & NATIVE_REP)) {
        return once(&s, fault) && x86_done(cpu, insn);
    }
    do {
        uint64_t count = offset_of(&s, X86_RCX), done;

        if (count == 0) {
            return x86_done(cpu, insn);
        }
        done = some(&s, count, left, fault);
        if (done == 0) {
            return false;
        }
        x86_set_gpr(cpu, X86_RCX, s.width, count - done);
        if (s.ended || count == done) {
            return x86_done(cpu, insn);
        }
        left -= done * s.size < ALONE ? ALONE : done * s.size;
    } while (left >= ALONE && !cpu->system.pending_debug && !(cpu->system_flags & X86_FLAG_TF));
    return x86_again(cpu);
}
