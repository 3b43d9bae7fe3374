/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the reader of CTF recordings. An input is the files of the directory, parted by
 * SEPARATOR: the metadata, then up to three streams. Where the metadata is empty, a correct one
 * stands in, so that streams are reached too; its UUID is all zeros. Everything that is handed out
 * is looked at and rendered. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "trace/write/ctf_file.h"
#include "trace/write/ctf_tsdl.h"
#include "walk.h"

#define SEPARATOR "\n--file--\n"

enum { FILES = 4 };
static const char *const file_name[FILES] = {"metadata", "thread-1-1", "thread-2-2", "thread-3-3"};

static const char declarations[] = "tick(void) \"\"\n"
                                   "two(uint64_t offs, int val) \"offs 0x%lx val %d\"\n"
                                   "#@enum colour 0=red 1=green\n"
                                   "#@args shade:colour\n"
                                   "name(const char *dev, uint32_t shade, char *t) \"%s %u %s\"\n"
                                   "more(bool yes, int64_t ctx_vcpu, char *ctx_what) \"%d\"\n";

static char folder[] = "/tmp/vitrine-fuzz-ctf-XXXXXX";
static struct strbuf usual; /* the metadata that stands in */

static void remove_folder(void)
{
    char path[64];
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, file_name[i]);
        unlink(path);
    }
    rmdir(folder);
    strbuf_free(&usual);
}

static void prepare(void)
{
    static const uint8_t uuid[CTF_UUID_BYTES];
    const struct ctf_about about = {.pid = 1, .program = "fuzz", .wall_known = true, .wall = 5};
    struct ctf_words words = {0};
    struct trace_decls *decls = trace_decls_new();
    if (!mkdtemp(folder) || !trace_decls_parse(decls, TRACE_DIALECT_ANY, "fuzz", declarations,
                                               sizeof declarations - 1, NULL, NULL, NULL)) {
        abort();
    }
    strbuf_init(&usual);
    ctf_tsdl_head(&usual, uuid, &about);
    for (size_t i = 0; i < decls->count; i++) {
        struct strbuf body;
        strbuf_init(&body);
        ctf_tsdl_body(&body, decls->row[i]);
        ctf_tsdl_declaration(&usual, &words, decls->row[i]);
        ctf_tsdl_event(&usual, (uint32_t)i, body.data);
        strbuf_free(&body);
    }
    ctf_words_free(&words);
    trace_decls_free(decls);
    atexit(remove_folder);
}

static void write_file(unsigned number, const void *bytes, size_t len)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, file_name[number]);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len) {
        abort();
    }
    close(fd);
}

static void unpack(const char *data, size_t size)
{
    const char *end = data + size;
    for (unsigned i = 0; i < FILES; i++) {
        const char *stop = memmem(data, (size_t)(end - data), SEPARATOR, sizeof SEPARATOR - 1);
        size_t len = (size_t)((stop && i + 1 < FILES ? stop : end) - data);
        if (i == 0 && len == 0) {
            write_file(i, usual.data, usual.len);
        } else {
            write_file(i, data, len);
        }
        data += len;
        data += data < end ? sizeof SEPARATOR - 1 : 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool prepared;
    struct error err = {0};
    if (!prepared) {
        prepare();
        prepared = true;
    }
    unpack((const char *)data, size);
    walk_reader(trace_reader_open(folder, NULL, &err), &err, true);
    return 0;
}
