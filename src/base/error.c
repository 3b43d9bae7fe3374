/* SPDX-License-Identifier: MIT
 *
 * Errors as sentences. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool error_set(struct error *err, const char *format, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
    }
    return false;
}

bool error_prefix(struct error *err, const char *format, ...)
{
    if (err) {
        struct error old = *err;
        va_list ap;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, "%s", old.text);
    }
    return false;
}

noreturn void bug(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("bug: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}
