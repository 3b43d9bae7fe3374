/* SPDX-License-Identifier: MIT
 *
 * Reading the headers of x86-64 ELF programs and the first line of scripts. Nothing is mapped here
 * and nothing is believed: what this accepts, the loader can map without further checks. Pure
 * functions over a source of bytes; any thread.
 */
#ifndef USER_ELF_H
#define USER_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    ELF_SEGMENTS_MAX = 256,
    ELF_INTERPRETER_MAX = 4096, /* with the NUL; the kernel's limit is PATH_MAX too */
    ELF_HEADERS_BYTES = 65536,  /* of program headers; the kernel's limit */
    SCRIPT_LINE_MAX = 256,      /* of the first line; the kernel's BINPRM_BUF_SIZE */
};

/* Where bytes come from. read() gives exactly `size` bytes at `offset`, or false. */
struct elf_source {
    bool (*read)(void *opaque, uint64_t offset, void *to, size_t size);
    void *opaque;
    uint64_t size; /* of the file */
};

/* A PT_LOAD. Always true: file_size <= memory_size, start + memory_size does not wrap and lies in
 * user space, offset + file_size lies in the file, offset and start agree within a page. */
struct elf_segment {
    uint64_t start;       /* address, as linked */
    uint64_t memory_size; /* not 0 */
    uint64_t file_size;
    uint64_t offset;
    int prot; /* PROT_READ, PROT_WRITE, PROT_EXEC */
};

struct elf_file {
    bool movable; /* ET_DYN */
    uint64_t entry;
    uint64_t headers; /* address of the program headers, as linked; 0: in no segment */
    unsigned header_count;
    uint64_t start, end;   /* of all segments: whole pages, as linked */
    uint64_t align;        /* the largest of them, a power of two, at least a page */
    bool stack_executable; /* PT_GNU_STACK says so */
    bool has_interpreter;
    char interpreter[ELF_INTERPRETER_MAX];
    unsigned segments;
    struct elf_segment segment[ELF_SEGMENTS_MAX]; /* ascending, without overlap */
};

/* Reads the headers. On failure the sentence, without the file's name, says what the file is ("it
 * is a 32-bit program ..."). */
bool elf_parse(const struct elf_source *source, struct elf_file *elf, struct error *err);

/* A first line that begins with #!. */
struct elf_script {
    char interpreter[SCRIPT_LINE_MAX + 1];
    char argument[SCRIPT_LINE_MAX + 1]; /* "": none */
};

/* True if the file begins with #!; then either `script` is filled in, or `*bad` is set to what is
 * wrong with the line. */
bool elf_script_parse(const struct elf_source *source, struct elf_script *script, const char **bad);

#endif
