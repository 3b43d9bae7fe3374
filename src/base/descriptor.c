/* SPDX-License-Identifier: MIT
 *
 * The book of our own descriptors. Owners close theirs without a word: a row is good while the same
 * file is behind its number. */
#include "base/descriptor.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OWN_MAX = 128,
    NUMBERS = 1024, /* ours are the last of so many; more would make each fork() slower */
    LAST = 64,
};

static struct {
    int fd;
    dev_t device;
    ino_t inode;
} own[OWN_MAX];
static unsigned count;
static bool away;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void descriptor_keep_away(void)
{
    __atomic_store_n(&away, true, __ATOMIC_RELEASE);
}

static bool is_same(unsigned row)
{
    struct stat status;

    return fstat(own[row].fd, &status) == 0 && status.st_dev == own[row].device &&
           status.st_ino == own[row].inode;
}

static void note(int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        return;
    }
    pthread_mutex_lock(&mutex);
    unsigned row = 0;
    while (row < count && own[row].fd != fd && is_same(row)) {
        row++; /* a row that has gone stale is used again */
    }
    if (row < OWN_MAX) {
        own[row].fd = fd;
        own[row].device = status.st_dev;
        own[row].inode = status.st_ino;
        if (row == count) {
            __atomic_store_n(&count, count + 1, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&mutex);
}

int descriptor_own(int fd)
{
    struct rlimit limit;

    if (fd < 0 || !__atomic_load_n(&away, __ATOMIC_ACQUIRE)) {
        return fd;
    }
    rlim_t numbers = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < NUMBERS
                         ? limit.rlim_cur
                         : NUMBERS;
    int high = numbers > 2 * LAST && fd < (int)numbers - LAST
                   ? fcntl(fd, F_DUPFD_CLOEXEC, (int)numbers - LAST)
                   : -1;
    if (high >= 0) {
        close(fd);
        fd = high;
    }
    note(fd);
    return fd;
}

bool descriptor_is_own(int fd)
{
    unsigned rows = __atomic_load_n(&count, __ATOMIC_ACQUIRE);

    for (unsigned row = 0; row < rows; row++) {
        if (own[row].fd == fd) {
            return is_same(row);
        }
    }
    return false;
}

int descriptor_next_own(int fd)
{
    unsigned rows = __atomic_load_n(&count, __ATOMIC_ACQUIRE);
    int next = -1;

    for (unsigned row = 0; row < rows; row++) {
        if (own[row].fd >= fd && (next < 0 || own[row].fd < next) && is_same(row)) {
            next = own[row].fd;
        }
    }
    return next;
}
