/* SPDX-License-Identifier: MIT
 *
 * System calls that last while other threads make others, for -strace: one thread reads from a pipe
 * that is written to later; another waits for ever. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int ends[2];

static void *read_later(void *opaque)
{
    char text[6] = "";

    (void)opaque;
    if (read(ends[0], text, 5) == 5 && !strcmp(text, "hello")) {
        puts("read");
    }
    return NULL;
}

static void *wait_for_ever(void *opaque)
{
    (void)opaque;
    pause();
    return NULL;
}

int main(void)
{
    pthread_t thread;

    if (pipe(ends) != 0) {
        return 1;
    }
    pthread_create(&thread, NULL, read_later, NULL);
    usleep(100000); /* the other is in its call by now */
    getppid();
    if (write(ends[1], "hello", 5) != 5) {
        return 1;
    }
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, wait_for_ever, NULL);
    usleep(100000);
    return 0;
}
