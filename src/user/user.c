/* SPDX-License-Identifier: MIT
 *
 * A process of the guest, from options to the first instruction. */
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "guest/x86/guest.h"
#include "host/x64/x64.h"
#include "user/internal.h"
#include "user/memory.h"

static char *own_path(void)
{
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);

    return len > 0 ? mem_stringn(path, (size_t)len) : NULL;
}

struct user *user_new(const struct user_options *options, struct error *err)
{
    struct user *user = mem_alloc(sizeof *user);

    user->options = *options;
    user->image.exe_fd = -1;
    user->self_path = own_path();
    pthread_mutex_init(&user->process_lock, NULL);
    user_memory_init(user);
    if (!user_load_plan(user, err)) {
        return NULL; /* the process ends now */
    }
    struct engine_config config = {
        .guest = &x86_guest,
        .host = &x64_host,
        .guest_config = options->model,
        .memory = user_memory_callbacks(user),
        .symbols = options->modules ? options->modules->symbols : NULL,
        .options = options->engine,
        .kick_signal = USER_KICK_SIGNAL,
    };
    config.options.code_near = user->map.code_near;
    user->engine = engine_new(&config, err);
    if (!user->engine) {
        return NULL;
    }
    user_memory_engine(user);
    if (!user_load(user, err)) {
        return NULL;
    }
    user_memory_tell_late(user);
    return user;
}

struct engine *user_engine(struct user *user)
{
    return user->engine;
}
