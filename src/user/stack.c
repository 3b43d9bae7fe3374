/* SPDX-License-Identifier: MIT
 *
 * The first stack of a program, as the kernel lays it out (System V ABI for x86-64, 3.4.1), from
 * the top down: a null word, the file name, environment strings, argument strings, what auxv points
 * to, auxv, envp, argv, argc. */
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "guest/x86/cpuid.h"
#include "user/internal.h"
#include "user/loader.h"
#include "user/memory.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

#define MIB        (UINT64_C(1) << 20)
#define STACK_MAX  (1024 * MIB) /* of a limit that says nothing, or too much */
#define STACK_MIN  (128 * (MIB >> 10))
#define STACK_ROOM (1024 * MIB) /* of addresses, for when the limit is raised */
#define GUARD      MIB          /* never mapped, below; the kernel keeps as much */
#define PAGE_UP(x) (((x) + USER_PAGE - 1) & -(uint64_t)USER_PAGE)

enum { RANDOM_BYTES = 16, HWCAP2_FSGSBASE = 2, SIGNAL_FRAME_DEFAULT = 2048 };

static uint64_t bytes_of(char *const *strings)
{
    uint64_t bytes = 0;

    for (; *strings; strings++) {
        bytes += strlen(*strings) + 1 + sizeof(uint64_t);
    }
    return bytes;
}

static uint64_t stack_size(const struct user *user, uint64_t needed)
{
    struct rlimit limit;
    uint64_t size = user->options.stack_size;

    if (size == 0) {
        size = getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur > STACK_MAX ? STACK_MAX
                                                                             : limit.rlim_cur;
    }
    return PAGE_UP(size > needed + STACK_MIN ? size : needed + STACK_MIN);
}

static bool map_stack(struct user *user, uint64_t size, struct error *err)
{
    struct user_map *map = &user->map;
    const int prot = PROT_READ | PROT_WRITE |
                     (user->image.stack_executable || map->read_executes ? PROT_EXEC : 0);
    const uint64_t room = (size > STACK_ROOM ? size : STACK_ROOM) - size + GUARD;
    char *low = mmap(NULL, size + room, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (low == MAP_FAILED || mprotect(low + room, size, user_host_prot(prot))) {
        return error_set(err, "there is no memory for a stack of %llu KiB: %s",
                         (unsigned long long)size / 1024, strerror(errno));
    }
    map->stack_start = (uint64_t)(uintptr_t)low + room;
    map->stack_room = (uint64_t)(uintptr_t)low + GUARD;
    map->stack_end = map->stack_start + size;
    user_map_insert(map, &(struct user_mapping){.start = map->stack_start,
                                                .end = map->stack_end,
                                                .prot = (uint8_t)prot,
                                                .area = USER_AREA_STACK});
    return true;
}

void user_stack_limit(struct user *user, uint64_t limit)
{
    struct user_map *map = &user->map;
    sigset_t saved;

    user_map_lock(user, &saved);
    uint64_t start = limit > map->stack_end - map->stack_room ? map->stack_room
                                                              : map->stack_end - PAGE_UP(limit);
    const struct user_mapping *stack = user_map_at(map, map->stack_start);
    if (start < map->stack_start && stack &&
        !mprotect((void *)(uintptr_t)start, map->stack_start - start,
                  user_host_prot(stack->prot))) {
        user_map_insert(map, &(struct user_mapping){.start = start,
                                                    .end = map->stack_start,
                                                    .prot = stack->prot,
                                                    .area = USER_AREA_STACK});
        map->stack_start = start;
    }
    user_map_unlock(user, &saved);
}

/* --- what is written --- */

static uint64_t put(uint64_t at, const void *bytes, size_t size)
{
    memcpy((void *)(uintptr_t)at, bytes, size);
    return at;
}

/* Puts strings one behind the other, so that the last ends at `end`; gives where they begin. */
static uint64_t put_strings(uint64_t end, char *const *strings)
{
    uint64_t at = end;

    for (char *const *s = strings; *s; s++) {
        at -= strlen(*s) + 1;
    }
    const uint64_t start = at;
    for (char *const *s = strings; *s; s++) {
        at += strlen(strcpy((char *)(uintptr_t)at, *s)) + 1;
    }
    return start;
}

/* The addresses of strings that lie one behind the other, and a null word. */
static uint64_t *put_pointers(uint64_t *to, uint64_t strings, char *const *like)
{
    for (; *like; like++) {
        *to++ = strings;
        strings += strlen(*like) + 1;
    }
    *to++ = 0;
    return to;
}

static uint64_t put_random(const struct user *user, uint64_t at)
{
    uint8_t bytes[RANDOM_BYTES];

    if (user->options.seeded || getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != sizeof bytes) {
        uint64_t x = user->options.seed;
        for (size_t i = 0; i < sizeof bytes; i++) { /* splitmix64's step, a byte each */
            x += UINT64_C(0x9e3779b97f4a7c15);
            uint64_t z = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
            bytes[i] = (uint8_t)((z ^ z >> 27) * UINT64_C(0x94d049bb133111eb) >> 56);
        }
    }
    return put(at, bytes, sizeof bytes);
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value ? value : otherwise;
}

static void add(struct user_image *image, uint64_t type, uint64_t value)
{
    image->auxv[image->auxv_count++] = (Elf64_auxv_t){.a_type = type, .a_un.a_val = value};
}

/* In the kernel's order. AT_RSEQ_* is left out: there is no rseq. */
static void fill_auxv(struct user *user, uint64_t random, uint64_t platform, uint64_t name)
{
    struct user_image *image = &user->image;
    const struct x86_model *model = user->options.model;
    uint32_t cpuid[4] = {0};

    if (model) {
        x86_cpuid(model, NULL, 1, 0, cpuid);
    }
    const bool bases = model && x86_has(&model->features, X86_FEATURE_FSGSBASE);
    image->auxv_count = 0;
    if (user->map.vdso) {
        add(image, AT_SYSINFO_EHDR, user->map.vdso);
    }
    add(image, AT_MINSIGSTKSZ, or_default(getauxval(AT_MINSIGSTKSZ), SIGNAL_FRAME_DEFAULT));
    add(image, AT_HWCAP, cpuid[3]);
    add(image, AT_PAGESZ, USER_PAGE);
    add(image, AT_CLKTCK, (uint64_t)sysconf(_SC_CLK_TCK));
    add(image, AT_PHDR, image->headers);
    add(image, AT_PHENT, sizeof(Elf64_Phdr));
    add(image, AT_PHNUM, image->header_count);
    add(image, AT_BASE, image->base);
    add(image, AT_FLAGS, 0);
    add(image, AT_ENTRY, image->program_entry);
    add(image, AT_UID, getuid());
    add(image, AT_EUID, geteuid());
    add(image, AT_GID, getgid());
    add(image, AT_EGID, getegid());
    add(image, AT_SECURE, getauxval(AT_SECURE));
    add(image, AT_RANDOM, random);
    add(image, AT_HWCAP2, bases ? getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE : 0);
    add(image, AT_EXECFN, name);
    add(image, AT_PLATFORM, platform);
    add(image, AT_NULL, 0);
}

bool user_stack_make(struct user *user, char *const *argv, struct error *err)
{
    static const char platform_name[] = "x86_64";
    struct user_image *image = &user->image;
    char *const *envp = user->options.envp;
    const char *name = user->options.program;
    size_t argc = 0, envc = 0;

    if (!map_stack(user, stack_size(user, bytes_of(argv) + bytes_of(envp) + strlen(name)), err)) {
        return false;
    }
    while (argv[argc]) {
        argc++;
    }
    while (envp[envc]) {
        envc++;
    }
    uint64_t at = user->map.stack_end - sizeof(uint64_t) - (strlen(name) + 1);
    const uint64_t file_name = put(at, name, strlen(name) + 1);
    image->env_end = at;
    image->env_start = image->arg_end = put_strings(image->env_end, envp);
    image->arg_start = put_strings(image->arg_end, argv);
    at = (image->arg_start & -UINT64_C(16)) - sizeof platform_name;
    const uint64_t platform = put(at, platform_name, sizeof platform_name);
    const uint64_t random = put_random(user, (at - RANDOM_BYTES) & -UINT64_C(16));
    fill_auxv(user, random, platform, file_name);

    const uint64_t words = 1 + argc + 1 + envc + 1 + 2 * image->auxv_count;
    image->stack = (random - words * sizeof(uint64_t)) & -UINT64_C(16);
    uint64_t *to = (uint64_t *)(uintptr_t)image->stack;
    *to++ = argc;
    to = put_pointers(to, image->arg_start, argv);
    to = put_pointers(to, image->env_start, envp);
    memcpy(to, image->auxv, image->auxv_count * sizeof *image->auxv);
    return true;
}
