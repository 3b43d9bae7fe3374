/* SPDX-License-Identifier: MIT
 *
 * See log_capture.h. */
#include "log_capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

static char path[64];

static void no_file(void)
{
    fprintf(stderr, "log_capture: %s cannot be used\n", path);
    exit(1);
}

void capture_begin(void)
{
    snprintf(path, sizeof path, "/tmp/log_capture-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) || !log_set_file(path, NULL))
        no_file();
}

char *capture_end(void)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;

    if (!file || !log_set_file(NULL, NULL))
        no_file();
    if (getdelim(&text, &room, '\0', file) < 0) {
        free(text);
        text = mem_string("");
    }
    fclose(file);
    unlink(path);
    return text;
}
