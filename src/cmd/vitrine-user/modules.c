/* SPDX-License-Identifier: MIT
 *
 * Names for the program's code; see modules.h.
 */
#include "cmd/vitrine-user/modules.h"

#include <pthread.h>

#include "symbol/symbol.h"

static struct user_modules modules;

static void mapped(void *opaque, const char *path, uint64_t start, uint64_t end, uint64_t offset)
{
    symbol_module_add(opaque, path, start, end, offset);
}

static void unmapped(void *opaque, uint64_t start, uint64_t end)
{
    symbol_module_remove(opaque, start, end);
}

static void before_fork(void)
{
    symbol_fork_prepare(modules.symbols);
}

static void after_fork(void)
{
    symbol_fork_done(modules.symbols);
}

const struct user_modules *modules_new(void)
{
    struct symbol_space *space = symbol_space_new(NULL);

    modules = (struct user_modules){
        .opaque = space, .mapped = mapped, .unmapped = unmapped, .symbols = space};
    pthread_atfork(before_fork, after_fork, after_fork);
    return &modules;
}
