/* SPDX-License-Identifier: MIT
 *
 * Signals by name. */
#include "base/signal_name.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* A number from 0 to 99 in decimal digits, and nothing behind it. */
static bool read_number(const char *text, int *number)
{
    *number = 0;
    for (size_t i = 0; i < 2 && text[i] >= '0' && text[i] <= '9'; i++) {
        *number = *number * 10 + (text[i] - '0');
        if (!text[i + 1]) {
            return true;
        }
    }
    return false;
}

/* RTMIN, RTMIN+N, RTMAX, RTMAX-N. */
static int realtime(const char *name)
{
    bool up = !strncasecmp(name, "RTMIN", 5);
    int base = up ? SIGRTMIN : SIGRTMAX, far = 0;

    if (!up && strncasecmp(name, "RTMAX", 5) != 0) {
        return 0;
    }
    if (name[5] && (name[5] != (up ? '+' : '-') || !read_number(name + 6, &far))) {
        return 0;
    }
    int number = up ? base + far : base - far;
    return number >= SIGRTMIN && number <= SIGRTMAX ? number : 0;
}

int signal_number(const char *name)
{
    int number;

    if (read_number(name, &number)) {
        return number <= SIGNAL_NUMBER_MAX ? number : 0;
    }
    name += strncasecmp(name, "SIG", 3) ? 0 : 3;
    for (number = 1; number < SIGRTMIN; number++) {
        const char *known = sigabbrev_np(number);
        if (known && !strcasecmp(known, name)) {
            return number;
        }
    }
    return realtime(name);
}
