/* SPDX-License-Identifier: MIT
 *
 * ELF headers, System V ABI and its x86-64 supplement; `#!` lines as Linux reads them. */
#include "user/elf.h"

#include <elf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"

enum { PAGE = 4096 };

#define USER_SPACE_END (UINT64_C(0x800000000000) - PAGE)
#define ALIGN_MAX      (UINT64_C(1) << 30)

/* --- what a file is that we cannot run --- */

/* clang-format off */
static const struct {
    uint16_t machine;
    const char *name;
} machines[] = {
    {EM_SPARC, "SPARC"},         {EM_386, "i386"},        {EM_68K, "m68k"},
    {EM_MIPS, "MIPS"},           {EM_PARISC, "PA-RISC"},  {EM_SPARC32PLUS, "SPARC"},
    {EM_PPC, "PowerPC"},         {EM_PPC64, "PowerPC64"}, {EM_S390, "s390"},
    {EM_ARM, "ARM"},             {EM_SH, "SuperH"},       {EM_SPARCV9, "SPARC V9"},
    {EM_IA_64, "IA-64"},         {EM_AARCH64, "AArch64"}, {EM_RISCV, "RISC-V"},
    {EM_BPF, "BPF"},             {EM_MICROBLAZE, "MicroBlaze"}, {EM_OPENRISC, "OpenRISC"},
    {EM_XTENSA, "Xtensa"},       {258, "LoongArch"},      {0x9026, "Alpha"},
};

static const struct {
    uint16_t type;
    const char *name;
} types[] = {
    {ET_REL, "an object file that is not linked yet"},
    {ET_CORE, "a core dump"},
    {ET_NONE, "an ELF file without a type"},
};
/* clang-format on */

static bool wrong_machine(unsigned machine, struct error *err)
{
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        if (machines[i].machine == machine) {
            return error_set(err,
                             "this is a program for another processor (%s); only x86-64 programs "
                             "can be run",
                             machines[i].name);
        }
    }
    return error_set(err,
                     "this is a program for another processor (ELF machine %u); only x86-64 "
                     "programs can be run",
                     machine);
}

static bool wrong_type(unsigned type, struct error *err)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].type == type) {
            return error_set(err, "this is %s, not a program", types[i].name);
        }
    }
    return error_set(err, "this is an ELF file of type %u, not a program", type);
}

/* --- the parts of a header --- */

static bool check_ident(const struct elf_source *source, Elf64_Ehdr *head, struct error *err)
{
    size_t size = source->size < sizeof *head ? (size_t)source->size : sizeof *head;

    memset(head, 0, sizeof *head);
    if (size == 0) {
        return error_set(err, "the file is empty");
    }
    if (!source->read(source->opaque, 0, head, size)) {
        return error_set(err, "the file cannot be read");
    }
    if (size < SELFMAG || memcmp(head->e_ident, ELFMAG, SELFMAG)) {
        return error_set(err, "this is neither an ELF program nor a script that begins with #!");
    }
    if (size < sizeof *head) {
        return error_set(err, "the ELF file is cut off within its first header");
    }
    if (head->e_ident[EI_DATA] != ELFDATA2LSB) {
        /* e_machine in the other byte order. */
        return head->e_ident[EI_DATA] == ELFDATA2MSB
                   ? wrong_machine(__builtin_bswap16(head->e_machine), err)
                   : error_set(err, "the ELF header is damaged (byte order %u)",
                               head->e_ident[EI_DATA]);
    }
    if (head->e_machine == EM_386) {
        return error_set(err, "this is a 32-bit program (i386); only 64-bit x86-64 programs can be "
                              "run");
    }
    if (head->e_machine != EM_X86_64) {
        return wrong_machine(head->e_machine, err);
    }
    if (head->e_ident[EI_CLASS] != ELFCLASS64) {
        return error_set(err, "this is a 32-bit program (x32); only 64-bit x86-64 programs can be "
                              "run");
    }
    if (head->e_type != ET_EXEC && head->e_type != ET_DYN) {
        return wrong_type(head->e_type, err);
    }
    return true;
}

static bool add_segment(const struct elf_source *source, struct elf_file *elf, unsigned number,
                        const Elf64_Phdr *p, struct error *err)
{
    const struct elf_segment *last = elf->segments ? &elf->segment[elf->segments - 1] : NULL;

    if (p->p_filesz > p->p_memsz) {
        return error_set(err, "program header %u is damaged: more bytes in the file than in memory",
                         number);
    }
    if (p->p_memsz == 0) {
        return true;
    }
    if (elf->segments == ELF_SEGMENTS_MAX) {
        return error_set(err, "the ELF file has more than %d segments to load", ELF_SEGMENTS_MAX);
    }
    if (p->p_vaddr >= USER_SPACE_END || p->p_memsz > USER_SPACE_END - p->p_vaddr) {
        return error_set(err,
                         "program header %u is damaged: address 0x%" PRIx64 " with 0x%" PRIx64
                         " bytes lies outside of user space",
                         number, (uint64_t)p->p_vaddr, (uint64_t)p->p_memsz);
    }
    if (p->p_filesz && (p->p_offset > source->size || p->p_filesz > source->size - p->p_offset)) {
        return error_set(err,
                         "the ELF file is cut off: segment %u ends at byte %" PRIu64
                         ", the file has %" PRIu64,
                         number, (uint64_t)p->p_offset + p->p_filesz, source->size);
    }
    if (p->p_filesz && (p->p_offset ^ p->p_vaddr) & (PAGE - 1)) {
        return error_set(err,
                         "program header %u is damaged: offset and address do not agree within a "
                         "page",
                         number);
    }
    if (last && p->p_vaddr < last->start + last->memory_size) {
        return error_set(err,
                         "program header %u is damaged: it overlaps the segment before it, or "
                         "is out of order",
                         number);
    }
    elf->segment[elf->segments++] = (struct elf_segment){
        .start = p->p_vaddr,
        .memory_size = p->p_memsz,
        .file_size = p->p_filesz,
        .offset = p->p_offset,
        .prot = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
                (p->p_flags & PF_X ? PROT_EXEC : 0),
    };
    /* As the kernel: an alignment that is no power of two does not count. */
    if (p->p_align > elf->align && p->p_align <= ALIGN_MAX && !(p->p_align & (p->p_align - 1))) {
        elf->align = p->p_align;
    }
    return true;
}

static bool read_interpreter(const struct elf_source *source, struct elf_file *elf,
                             const Elf64_Phdr *p, struct error *err)
{
    if (p->p_filesz < 2 || p->p_filesz > ELF_INTERPRETER_MAX || p->p_offset > source->size ||
        p->p_filesz > source->size - p->p_offset ||
        !source->read(source->opaque, p->p_offset, elf->interpreter, p->p_filesz) ||
        elf->interpreter[p->p_filesz - 1] != 0) {
        return error_set(err, "the name of the program's interpreter (PT_INTERP) is damaged");
    }
    elf->has_interpreter = true;
    return true;
}

static bool read_headers(const struct elf_source *source, const Elf64_Ehdr *head,
                         struct elf_file *elf, const Elf64_Phdr *headers, struct error *err)
{
    bool ok = true;

    for (unsigned i = 0; ok && i < head->e_phnum; i++) {
        const Elf64_Phdr *p = &headers[i];
        if (p->p_type == PT_LOAD) {
            ok = add_segment(source, elf, i, p, err);
        } else if (p->p_type == PT_INTERP && !elf->has_interpreter) {
            ok = read_interpreter(source, elf, p, err);
        } else if (p->p_type == PT_GNU_STACK) {
            elf->stack_executable = p->p_flags & PF_X;
        }
    }
    return ok;
}

/* Where the program headers are in memory: the segment that has them from the file. */
static uint64_t headers_address(const struct elf_file *elf, const Elf64_Ehdr *head, uint64_t bytes)
{
    for (unsigned i = 0; i < elf->segments; i++) {
        const struct elf_segment *s = &elf->segment[i];
        if (s->offset <= head->e_phoff && head->e_phoff - s->offset < s->file_size &&
            s->file_size - (head->e_phoff - s->offset) >= bytes) {
            return s->start + (head->e_phoff - s->offset);
        }
    }
    return 0;
}

bool elf_parse(const struct elf_source *source, struct elf_file *elf, struct error *err)
{
    Elf64_Ehdr head;

    elf->segments = 0;
    elf->header_count = 0;
    elf->headers = 0;
    elf->align = PAGE;
    elf->stack_executable = elf->has_interpreter = false;
    elf->interpreter[0] = 0;
    if (!check_ident(source, &head, err)) {
        return false;
    }
    const uint64_t bytes = (uint64_t)head.e_phnum * sizeof(Elf64_Phdr);
    if (head.e_phnum == 0 || head.e_phentsize != sizeof(Elf64_Phdr) || bytes > ELF_HEADERS_BYTES) {
        return error_set(err, "the ELF header is damaged (%u program headers of %u bytes)",
                         head.e_phnum, head.e_phentsize);
    }
    if (head.e_phoff > source->size || bytes > source->size - head.e_phoff) {
        return error_set(err, "the ELF file is cut off: its program headers are behind its end");
    }
    Elf64_Phdr *headers = mem_alloc(bytes);
    bool ok = source->read(source->opaque, head.e_phoff, headers, bytes)
                  ? read_headers(source, &head, elf, headers, err)
                  : error_set(err, "the file cannot be read");
    free(headers);
    if (!ok) {
        return false;
    }
    if (elf->segments == 0) {
        return error_set(err, "the ELF file has no segment to load");
    }
    const struct elf_segment *last = &elf->segment[elf->segments - 1];
    elf->movable = head.e_type == ET_DYN;
    elf->entry = head.e_entry;
    elf->header_count = head.e_phnum;
    elf->headers = headers_address(elf, &head, bytes);
    elf->start = elf->segment[0].start & -(uint64_t)PAGE;
    elf->end = (last->start + last->memory_size + PAGE - 1) & -(uint64_t)PAGE;
    if (elf->movable && elf->end - elf->start > USER_SPACE_END / 2) {
        return error_set(err, "the ELF file asks for more memory than there are addresses");
    }
    return true;
}

/* --- scripts --- */

static char *skip_blanks(char *at)
{
    return at + strspn(at, " \t");
}

bool elf_script_parse(const struct elf_source *source, struct elf_script *script, const char **bad)
{
    char line[SCRIPT_LINE_MAX + 1] = "";
    size_t size = source->size < SCRIPT_LINE_MAX ? (size_t)source->size : SCRIPT_LINE_MAX;

    *bad = NULL;
    script->interpreter[0] = script->argument[0] = 0;
    if (size < 2 || !source->read(source->opaque, 0, line, size) || line[0] != '#' ||
        line[1] != '!') {
        return false;
    }
    char *end = memchr(line, '\n', size);
    const bool whole = end || size < SCRIPT_LINE_MAX;
    end = end ? end : line + size;
    *end = 0;
    char *name = skip_blanks(line + 2);
    char *behind = name + strcspn(name, " \t");
    if (!*name) {
        *bad = "its first line (#!) names no interpreter";
    } else if (!whole && !*behind) {
        *bad = "its first line (#!) is too long";
    } else {
        char *argument = skip_blanks(behind);
        for (end = argument + strlen(argument);
             end > argument && (end[-1] == ' ' || end[-1] == '\t'); end--) {
            end[-1] = 0;
        }
        strcpy(script->argument, argument);
        *behind = 0;
        strcpy(script->interpreter, name);
    }
    return true;
}
