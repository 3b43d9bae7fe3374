/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the reader of the simple format, all versions and files without a header. The first
 * byte of the input chooses the options, the rest is the recording. */
#include <stdlib.h>
#include <unistd.h>

#include "walk.h"

static const char declarations[] = "tick(void) \"\"\n"
                                   "two(uint64_t offs, int val) \"offs 0x%lx val %d\"\n"
                                   "disable gone(int a) \"%d\"\n"
                                   "name(const char *dev, uint32_t bus, char *t) \"%s %u %s\"\n"
                                   "vcpu cpu(const char *why) \"reason %s\"\n"
                                   "last(void *opaque) \"%p\"\n";

static char list[] = "/tmp/vitrine-fuzz-XXXXXX";

static void remove_list(void)
{
    unlink(list);
}

/* The list is a file, as it is for everybody. */
static void make_list(void)
{
    int fd = mkstemp(list);
    if (fd < 0 || write(fd, declarations, sizeof declarations - 1) < 0) {
        abort();
    }
    close(fd);
    atexit(remove_list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    if (!made) {
        make_list();
        made = true;
    }
    if (!size) {
        return 0;
    }
    struct trace_reader_options options = {.events = list, .no_header = data[0] & 1};
    struct error err = {0};
    walk_reader(trace_reader_open_input("fuzz", input_memory(data + 1, size - 1), &options, &err),
                &err, false);
    return 0;
}
