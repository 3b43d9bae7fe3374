/* SPDX-License-Identifier: MIT
 *
 * Loading a program, in two steps. First, while nothing but ourselves is there: which file, and
 * where it and the code cache go. Guest code and code cache shall lie within 2 GiB of each other.
 *
 *   movable:  | files and small mappings, downwards | code cache | program | heap, upwards ...
 *   fixed:    | program | heap, upwards | code cache | files and small mappings, downwards |
 *
 * Then, with the engine in its place, the segments are mapped. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/memory.h"
#include "user/internal.h"
#include "user/loader.h"
#include "user/memory.h"
#include "user/place.h"
#include "user/watch.h"

#define MIB           (UINT64_C(1) << 20)
#define GIB           (UINT64_C(1) << 30)
#define MOVABLE_BASE  UINT64_C(0x555555554000) /* where Linux puts them without randomization */
#define MOVABLE_STEP  (64 * GIB)
#define MOVABLE_TRIES 64
#define RANDOM_PAGES  (UINT64_C(1) << 22) /* 16 GiB of places */
#define HEAP_ROOM     (16 * GIB)          /* that is free above a movable program */
#define FIXED_HEAP    (1280 * MIB)        /* the same for a fixed one, where there is that much */
#define REACH         (2 * GIB)           /* of a RIP-relative operand */
#define SLACK         (16 * MIB)
#define CACHE_DEFAULT (128 * MIB) /* engine_options.cache_size 0 */
#define CODE_ALIGN    (2 * MIB)
#define PAGE_UP(x)    (((x) + USER_PAGE - 1) & -(uint64_t)USER_PAGE)

struct user_plan {
    struct user_program program;
    uint64_t bias; /* address in memory minus address as linked */
    uint64_t interpreter_bias;
};

/* --- where --- */

static uint64_t cache_size(const struct user *user)
{
    const uint64_t size = user->options.engine.cache_size;

    return ((size ? size : CACHE_DEFAULT) + CODE_ALIGN - 1) & -CODE_ALIGN;
}

static uint64_t random_pages(const struct user *user)
{
    uint64_t value = 0;

    if (user->options.deterministic || personality(0xffffffff) & ADDR_NO_RANDOMIZE) {
        return 0;
    }
    if (user->options.seeded) {
        value = user->options.seed * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    } else if (getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value) {
        return 0;
    }
    return value % RANDOM_PAGES;
}

static bool place_movable(struct user *user, const struct elf_file *elf, uint64_t *bias,
                          struct error *err)
{
    struct user_map *map = &user->map;
    uint64_t base = MOVABLE_BASE + random_pages(user) * USER_PAGE;

    for (int i = 0; i < MOVABLE_TRIES; i++, base += MOVABLE_STEP) {
        *bias = (base & -elf->align) - (elf->start & -elf->align);
        const uint64_t start = *bias + elf->start, end = *bias + elf->end;
        if (end > UINT64_C(0x7e0000000000)) {
            break;
        }
        if (!user_host_free(start - REACH, end + HEAP_ROOM)) {
            continue;
        }
        map->code_near = (start - SLACK - cache_size(user)) & -CODE_ALIGN;
        map->near_high = map->code_near - CODE_ALIGN;
        map->near_low = map->code_near + cache_size(user) + SLACK - REACH;
        return true;
    }
    return error_set(err,
                     "there is no free range of addresses for the program (0x%" PRIx64 " bytes)",
                     elf->end - elf->start);
}

static bool place_fixed(struct user *user, const struct elf_file *elf, struct error *err)
{
    struct user_map *map = &user->map;
    const uint64_t taken = elf->end - elf->start + cache_size(user) + 4 * SLACK;
    const uint64_t spare = taken < REACH ? REACH - taken : 0;

    if (!user_host_free(elf->start, elf->end)) {
        return error_set(err,
                         "the program must be at 0x%" PRIx64 " to 0x%" PRIx64
                         ", where the translator itself is",
                         elf->start, elf->end);
    }
    map->code_near = elf->end + SLACK + (spare < FIXED_HEAP ? spare : FIXED_HEAP);
    map->code_near = (map->code_near + CODE_ALIGN - 1) & -CODE_ALIGN;
    map->near_low = map->code_near + cache_size(user) + CODE_ALIGN;
    map->near_high = map->code_near + REACH - SLACK;
    return true;
}

/* Puts a hand on the range, so that neither the engine nor the C library takes it. */
static bool reserve(struct user *user, uint64_t start, uint64_t end, struct error *err)
{
    int64_t got = user_mmap(user, start, end - start, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
                            (uint64_t)-1, 0);

    return got >= 0 ||
           error_set(err, "it cannot be mapped at 0x%" PRIx64 ": %s%s", start, strerror((int)-got),
                     got == -EPERM ? " (/proc/sys/vm/mmap_min_addr is above it)" : "");
}

bool user_load_plan(struct user *user, struct error *err)
{
    struct user_plan *plan = mem_alloc(sizeof *plan);
    struct user_program *program = &plan->program;
    const struct elf_file *elf = &program->elf;
    int error = 0;

    user->plan = plan;
    if (!user_program_find(program, user->options.program, user->options.argv,
                           user->options.sysroot, &error, err)) {
        return false;
    }
    bool ok =
        elf->movable ? place_movable(user, elf, &plan->bias, err) : place_fixed(user, elf, err);
    user->map.hint = user->map.near_high;
    user->map.hole = 0;
    ok = ok && reserve(user, plan->bias + elf->start, plan->bias + elf->end, err);
    return ok || error_prefix(err, "%s: ", program->path);
}

/* --- segments --- */

static bool map_part(struct user *user, uint64_t start, uint64_t end, int prot, int flags, int fd,
                     uint64_t offset, struct error *err)
{
    if (start >= end) {
        return true;
    }
    int64_t got = user_mmap(user, start, end - start, (uint64_t)prot,
                            (uint64_t)(flags | MAP_PRIVATE | MAP_FIXED), (uint64_t)fd, offset);
    return got >= 0 ||
           error_set(err, "it cannot be mapped at 0x%" PRIx64 ": %s", start, strerror((int)-got));
}

/* `behind` is the end of the segment before, whole pages. */
static bool map_segment(struct user *user, int fd, const struct elf_segment *s, uint64_t bias,
                        uint64_t behind, struct error *err)
{
    const uint64_t start = bias + s->start, first = start & -(uint64_t)USER_PAGE;
    const uint64_t file_end = start + s->file_size, end = PAGE_UP(start + s->memory_size);
    uint64_t zeros = first > behind ? first : behind;

    if (s->file_size) {
        zeros = PAGE_UP(file_end);
        if (!map_part(user, first, zeros, s->prot, 0, fd, s->offset & -(uint64_t)USER_PAGE, err)) {
            return false;
        }
        /* What is behind the file's part in its last page. Without PROT_WRITE the kernel leaves it
         * too. */
        if (s->memory_size > s->file_size && s->prot & PROT_WRITE) {
            memset((void *)(uintptr_t)file_end, 0, zeros - file_end);
        }
    }
    return map_part(user, zeros, end, s->prot, MAP_ANONYMOUS, -1, 0, err);
}

static bool map_file(struct user *user, int fd, const struct elf_file *elf, uint64_t bias,
                     struct error *err)
{
    uint64_t behind = 0;

    for (unsigned i = 0; i < elf->segments; i++) {
        const struct elf_segment *s = &elf->segment[i];
        const uint64_t first = (bias + s->start) & -(uint64_t)USER_PAGE;
        if (behind && behind < first) { /* what was reserved between two segments */
            user_munmap(user, behind, first - behind);
        }
        if (!map_segment(user, fd, s, bias, behind, err)) {
            return false;
        }
        behind = PAGE_UP(bias + s->start + s->memory_size);
    }
    return true;
}

/* A place for the interpreter: near the code cache, as a file would be. */
static bool reserve_interpreter(struct user *user, const struct elf_file *elf, uint64_t *bias,
                                struct error *err)
{
    if (!elf->movable) {
        *bias = 0;
        return reserve(user, elf->start, elf->end, err);
    }
    const uint64_t size = elf->end - elf->start, room = size + elf->align - USER_PAGE;
    const int64_t got = user_mmap(user, 0, room, PROT_NONE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (uint64_t)-1, 0);
    if (got < 0) {
        return error_set(err, "it cannot be mapped: %s", strerror((int)-got));
    }
    const uint64_t at = (uint64_t)got, start = (at + elf->align - 1) & -elf->align;
    if (start > at) {
        user_munmap(user, at, start - at);
    }
    if (at + room > start + size) {
        user_munmap(user, start + size, at + room - start - size);
    }
    *bias = start - elf->start;
    return true;
}

static bool load_interpreter(struct user *user, struct error *err)
{
    struct user_plan *plan = user->plan;
    struct user_program *program = &plan->program;
    const struct elf_file *elf = &program->interpreter_elf;

    if (!reserve_interpreter(user, elf, &plan->interpreter_bias, err) ||
        !map_file(user, program->interpreter_fd, elf, plan->interpreter_bias, err)) {
        return error_prefix(err, "%s: its interpreter %s: ", program->path, program->interpreter);
    }
    user->image.base = plan->interpreter_bias + elf->start;
    user->image.entry = plan->interpreter_bias + elf->entry;
    return true;
}

/* --- the image --- */

/* Bounds of code and data as the kernel has them in /proc/PID/stat. */
static void note_bounds(struct user_image *image, const struct elf_file *elf, uint64_t bias)
{
    image->start_code = UINT64_MAX;
    for (unsigned i = 0; i < elf->segments; i++) {
        const struct elf_segment *s = &elf->segment[i];
        const uint64_t start = bias + s->start, end = start + s->file_size;
        if (s->prot & PROT_EXEC) {
            image->start_code = start < image->start_code ? start : image->start_code;
            image->end_code = end > image->end_code ? end : image->end_code;
        }
        image->start_data = start > image->start_data ? start : image->start_data;
        image->end_data = end > image->end_data ? end : image->end_data;
    }
    image->brk = bias + elf->end;
}

static char *path_of(int fd, const char *otherwise)
{
    char link[64], path[4096];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    return len > 0 ? mem_stringn(path, (size_t)len) : mem_string(otherwise);
}

static void free_plan(struct user *user)
{
    if (user->plan) {
        user_program_free(&user->plan->program);
        free(user->plan);
        user->plan = NULL;
    }
}

bool user_load(struct user *user, struct error *err)
{
    struct user_plan *plan = user->plan;
    struct user_program *program = &plan->program;
    const struct elf_file *elf = &program->elf;
    struct user_image *image = &user->image;

    if (!map_file(user, program->fd, elf, plan->bias, err)) {
        return error_prefix(err, "%s: ", program->path);
    }
    note_bounds(image, elf, plan->bias);
    user->map.brk_start = user->map.brk = image->brk;
    image->entry = image->program_entry = plan->bias + elf->entry;
    image->headers = elf->headers ? plan->bias + elf->headers : 0;
    image->header_count = elf->header_count;
    image->stack_executable = elf->stack_executable;
    if (elf->has_interpreter && !load_interpreter(user, err)) {
        return false;
    }
    if (!user_stack_make(user, program->argv, err)) {
        return error_prefix(err, "%s: ", program->path);
    }
    image->path = path_of(program->fd, program->path);
    image->exe_fd = descriptor_own(program->fd);
    program->fd = -1;
    free_plan(user);
    user_proc_begin(user);
    return true;
}

void user_load_free(struct user *user)
{
    free_plan(user);
    free(user->image.path);
    if (user->image.exe_fd >= 0) {
        close(user->image.exe_fd);
    }
    user_map_free(&user->map);
    user_watch_free(user->map.watch);
}

void user_load_cpu(struct user *user, struct x86_cpu *cpu)
{
    enum { CONTROL_WORD = 0, MXCSR = 24 };
    static const uint16_t control_word = 0x37f;
    static const uint32_t mxcsr = 0x1f80;
    struct ir_state *state = &cpu->state;

    memset(state->reg, 0, sizeof state->reg);
    memset(state->vector, 0, sizeof state->vector);
    memcpy(state->vector + CONTROL_WORD, &control_word, sizeof control_word);
    memcpy(state->vector + MXCSR, &mxcsr, sizeof mxcsr);
    state->reg[X86_RSP] = user->image.stack;
    state->pc = user->image.entry;
    state->flags = 0x202; /* IF and the bit that is always set */
    state->thread_base = state->other_base = 0;
    memset(cpu->segment, 0, sizeof cpu->segment);
    cpu->segment[1] = 0x33; /* CS */
    cpu->segment[2] = 0x2b; /* SS */
    cpu->system_flags = 0;
}
