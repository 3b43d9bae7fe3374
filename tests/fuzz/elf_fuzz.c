/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the beginning of a program: what is accepted must hold what elf.h promises, since
 * the loader maps it without further checks. The file may be longer than its bytes: then reading
 * behind them fails, as it would on a bad disk.
 *
 * Input: one byte, how much longer (in pages), then the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "user/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *at;
    size_t size;
};

static bool read_bytes(void *opaque, uint64_t offset, void *to, size_t size)
{
    const struct bytes *b = opaque;

    if (offset > b->size || size > b->size - offset) {
        return false;
    }
    memcpy(to, b->at + offset, size);
    return true;
}

static void promise(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_elf(const struct elf_source *source)
{
    static struct elf_file elf;
    struct error err = {""};
    uint64_t behind = 0;

    if (!elf_parse(source, &elf, &err)) {
        promise(err.text[0] && !strchr(err.text, '\n'));
        return;
    }
    promise(elf.segments > 0 && elf.segments <= ELF_SEGMENTS_MAX);
    promise(elf.align >= 4096 && !(elf.align & (elf.align - 1)));
    promise(elf.start % 4096 == 0 && elf.end % 4096 == 0 && elf.start < elf.end);
    promise(elf.end <= UINT64_C(0x7ffffffff000));
    for (unsigned i = 0; i < elf.segments; i++) {
        const struct elf_segment *s = &elf.segment[i];
        promise(s->memory_size > 0 && s->file_size <= s->memory_size);
        promise(s->start >= behind && s->start >= elf.start);
        behind = s->start + s->memory_size;
        promise(behind > s->start && behind <= elf.end);
        promise(!s->file_size || (s->offset - s->start) % 4096 == 0);
        promise(!s->file_size ||
                (s->offset <= source->size && s->file_size <= source->size - s->offset));
    }
    promise(!elf.has_interpreter || memchr(elf.interpreter, 0, sizeof elf.interpreter));
}

static void check_script(const struct elf_source *source)
{
    struct elf_script script;
    const char *bad;

    if (elf_script_parse(source, &script, &bad) && !bad) {
        promise(script.interpreter[0] && !strpbrk(script.interpreter, " \t\n"));
        promise(strlen(script.interpreter) + strlen(script.argument) < SCRIPT_LINE_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        struct bytes b = {data + 1, size - 1};
        const struct elf_source source = {read_bytes, &b, b.size + data[0] * UINT64_C(4096)};
        check_elf(&source);
        check_script(&source);
    }
    return 0;
}
