/* SPDX-License-Identifier: MIT
 *
 * One writer for a recording. */
#include "trace/write/lock.h"

#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

bool trace_lock_take(int fd, const char *path, struct error *err)
{
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return error_set(err, "%s: is being recorded into already: name another file", path);
    }
    return true;
}

void trace_lock_close(int fd)
{
    flock(fd, LOCK_UN);
    close(fd);
}
