/* SPDX-License-Identifier: MIT
 *
 * An ELF file as a table: program headers, build-id, symbols. elfutils checks that sections lie in
 * the file; what is left to check here is counts and sums.
 *
 * Symbols come from .symtab, which is in the separate debug file where the file is stripped, else
 * from .dynsym. */
#include <elf.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "symbol/internal.h"

bool symbol_open(struct symbol_space *space, const char *path, struct symbol_handle *handle)
{
    struct stat status;
    *handle = (struct symbol_handle){.fd = space->files.open(space->files.opaque, path)};
    if (handle->fd < 0) {
        return false;
    }
    /* Reading from a pipe or a device could wait for ever. */
    if (fstat(handle->fd, &status) == 0 && S_ISREG(status.st_mode)) {
        handle->elf = elf_begin(handle->fd, ELF_C_READ, NULL);
    }
    if (!handle->elf || elf_kind(handle->elf) != ELF_K_ELF) {
        symbol_close(handle);
        return false;
    }
    return true;
}

void symbol_close(struct symbol_handle *handle)
{
    elf_end(handle->elf);
    if (handle->fd >= 0) {
        close(handle->fd);
    }
    *handle = (struct symbol_handle){.fd = -1};
}

/* --- the table --- */

bool symbol_file_add(struct symbol_file *file, const struct symbol_new *symbol, const char *name,
                     size_t length)
{
    length = length > SYMBOL_NAME_MAX ? SYMBOL_NAME_MAX : length;
    if (file->count == SYMBOL_FILE_MAX || file->names_size + length + 1 > SYMBOL_NAMES_MAX) {
        return false;
    }
    if (file->count == file->room) {
        file->room = file->room ? 2 * file->room : 256;
        file->entry = mem_resize(file->entry, file->room, sizeof *file->entry);
    }
    if (file->names_size + length + 1 > file->names_room) {
        file->names_room = 2 * file->names_room + length + 4096;
        file->names = mem_resize(file->names, file->names_room, 1);
    }
    file->entry[file->count++] = (struct symbol_entry){
        .address = symbol->address,
        .size = symbol->size,
        .reach = symbol->limit,
        .name = (uint32_t)file->names_size,
        .rank = (uint16_t)(symbol->rank | (symbol->size ? 0 : SYMBOL_RANK_LABEL)),
    };
    memcpy(file->names + file->names_size, name, length);
    file->names_size += length;
    file->names[file->names_size++] = 0;
    return true;
}

static int compare(const void *left, const void *right, void *opaque)
{
    const struct symbol_entry *a = left, *b = right;
    const char *names = opaque;
    if (a->address != b->address) {
        return a->address < b->address ? -1 : 1;
    }
    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    return strcmp(names + a->name, names + b->name);
}

/* Labels end at the next symbol, or at the end of their section (until now in `reach`). */
static void end_labels(struct symbol_file *file)
{
    uint64_t next = UINT64_MAX, last = UINT64_MAX;
    for (size_t i = file->count; i-- > 0;) {
        struct symbol_entry *entry = &file->entry[i];
        next = entry->address == last ? next : last;
        last = entry->address;
        if (entry->rank & SYMBOL_RANK_LABEL) {
            uint64_t end = next < entry->reach ? next : entry->reach;
            entry->size = end > entry->address ? end - entry->address : 0;
        }
    }
}

/* Sorts, drops what is in the table twice (from .symtab and .dynsym) and what is empty, finds how
 * far entries reach. */
static void settle(struct symbol_file *file)
{
    size_t kept = 0;
    uint64_t reach = 0;
    if (!file->count) {
        return;
    }
    qsort_r(file->entry, file->count, sizeof *file->entry, compare, file->names);
    end_labels(file);
    for (size_t i = 0; i < file->count; i++) {
        const struct symbol_entry *entry = &file->entry[i];
        const struct symbol_entry *last = kept ? &file->entry[kept - 1] : NULL;
        bool twice = last && last->address == entry->address &&
                     !strcmp(file->names + last->name, file->names + entry->name);
        if (!twice && entry->size) {
            file->entry[kept++] = *entry;
        }
    }
    file->count = kept;
    for (size_t i = 0; i < file->count; i++) {
        uint64_t end = symbol_entry_end(&file->entry[i]);
        reach = end > reach ? end : reach;
        file->entry[i].reach = reach;
    }
}

const struct symbol_entry *symbol_file_find(const struct symbol_file *file, uint64_t address)
{
    const struct symbol_entry *best = NULL;
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (file->entry[middle].address > address) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    /* The innermost that has a size; among those at one address the first. A label counts only
     * where no such symbol encloses it. */
    for (unsigned walked = 0; low-- && walked < SYMBOL_WALK_MAX; walked++) {
        const struct symbol_entry *entry = &file->entry[low];
        if (best && !(best->rank & SYMBOL_RANK_LABEL) && best->address != entry->address) {
            break;
        }
        if (address < symbol_entry_end(entry)) {
            bool better = !best || (best->rank & ~entry->rank & SYMBOL_RANK_LABEL);
            best = better || entry->address == best->address ? entry : best;
        } else if (entry->reach <= address) {
            break;
        }
    }
    return best;
}

/* --- from ELF --- */

/* Of several names at one place the lowest rank counts: those with a size before labels, functions
 * before objects, global before local, few underscores in front, short. */
static unsigned rank_of(const GElf_Sym *symbol, const char *name, size_t length)
{
    unsigned type = GELF_ST_TYPE(symbol->st_info), bind = GELF_ST_BIND(symbol->st_info);
    unsigned underscores = name[0] != '_' ? 0 : name[1] != '_' ? 1 : 2;
    unsigned what = type == STT_FUNC || type == STT_GNU_IFUNC ? 0 : type == STT_OBJECT ? 1 : 2;
    unsigned where = bind == STB_LOCAL ? 1 : 0;
    return what << 13 | where << 12 | underscores << 10 | (unsigned)(length > 1023 ? 1023 : length);
}

static bool is_wanted(const GElf_Sym *symbol)
{
    unsigned type = GELF_ST_TYPE(symbol->st_info);
    bool known = type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_OBJECT ||
                 type == STT_NOTYPE || type == STT_COMMON;
    return known && symbol->st_shndx != SHN_UNDEF && symbol->st_shndx != SHN_ABS;
}

/* Where the section of a symbol ends. */
static uint64_t section_end(Elf *elf, const GElf_Sym *symbol)
{
    GElf_Shdr header;
    Elf_Scn *section = symbol->st_shndx < SHN_LORESERVE ? elf_getscn(elf, symbol->st_shndx) : NULL;
    return section && gelf_getshdr(section, &header) ? header.sh_addr + header.sh_size : 0;
}

static void add_section(struct symbol_file *file, Elf *elf, Elf_Scn *section,
                        const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(section, NULL);
    if (!data || !header->sh_entsize) {
        return;
    }
    size_t count = data->d_size / header->sh_entsize;
    count = count > 4 * SYMBOL_FILE_MAX ? 4 * SYMBOL_FILE_MAX : count;
    for (size_t i = 1; i < count; i++) {
        GElf_Sym symbol;
        if (!gelf_getsym(data, (int)i, &symbol)) {
            break;
        }
        if (!is_wanted(&symbol)) {
            continue;
        }
        const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);
        size_t length = name ? strcspn(name, "@") : 0; /* memcpy@@GLIBC_2.14 */
        struct symbol_new fresh = {symbol.st_value, symbol.st_size, 0, 0};
        fresh.limit = symbol.st_size ? 0 : section_end(elf, &symbol);
        fresh.rank = length ? rank_of(&symbol, name, length) : 0;
        if (length && !symbol_file_add(file, &fresh, name, length)) {
            break;
        }
    }
}

/* Adds all symbol tables of a kind; true if there is one. */
static bool add_symbols(struct symbol_file *file, Elf *elf, unsigned type)
{
    bool found = false;
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) && header.sh_type == type) {
            add_section(file, elf, section, &header);
            found = true;
        }
    }
    return found;
}

static void read_segments(struct symbol_file *file, Elf *elf)
{
    size_t count;
    if (elf_getphdrnum(elf, &count) != 0) {
        return;
    }
    for (size_t i = 0; i < count && file->segments < SYMBOL_SEGMENTS_MAX; i++) {
        GElf_Phdr header;
        if (!gelf_getphdr(elf, (int)i, &header)) {
            return;
        }
        if (header.p_type == PT_LOAD) {
            file->segment[file->segments++] = (struct symbol_segment){
                header.p_offset, header.p_filesz, header.p_vaddr, header.p_flags & PF_X};
        }
    }
}

static void take_build_id(struct symbol_file *file, Elf_Data *data)
{
    GElf_Nhdr note;
    size_t name, description, at = 0, next;
    while (data && (next = gelf_getnote(data, at, &note, &name, &description)) > at) {
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && note.n_descsz >= 2 &&
            note.n_descsz <= SYMBOL_BUILD_ID_MAX &&
            !memcmp((const char *)data->d_buf + name, "GNU", 4)) {
            memcpy(file->build_id, (const char *)data->d_buf + description, note.n_descsz);
            file->build_id_size = note.n_descsz;
            return;
        }
        at = next;
    }
}

static void read_build_id(struct symbol_file *file, Elf *elf)
{
    Elf_Scn *section = NULL;
    while (!file->build_id_size && (section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) && header.sh_type == SHT_NOTE) {
            take_build_id(file, elf_getdata(section, NULL));
        }
    }
}

bool symbol_debug_path(const struct symbol_file *file, char path[SYMBOL_DEBUG_PATH])
{
    static const char digit[] = "0123456789abcdef";
    if (!file->build_id_size) {
        return false;
    }
    char *to = path + sprintf(path, "/usr/lib/debug/.build-id/");
    for (unsigned i = 0; i < file->build_id_size; i++) {
        *to++ = digit[file->build_id[i] >> 4];
        *to++ = digit[file->build_id[i] & 15];
        if (i == 0) {
            *to++ = '/';
        }
    }
    strcpy(to, ".debug");
    return true;
}

static bool add_debug_symbols(struct symbol_space *space, struct symbol_file *file)
{
    char path[SYMBOL_DEBUG_PATH];
    struct symbol_handle debug;
    if (!symbol_debug_path(file, path) || !symbol_open(space, path, &debug)) {
        return false;
    }
    bool found = add_symbols(file, debug.elf, SHT_SYMTAB);
    symbol_close(&debug);
    return found;
}

static void read_elf(struct symbol_space *space, struct symbol_file *file, Elf *elf)
{
    read_segments(file, elf);
    read_build_id(file, elf);
    if (!add_symbols(file, elf, SHT_SYMTAB)) {
        add_debug_symbols(space, file);
    }
    add_symbols(file, elf, SHT_DYNSYM);
    symbol_plt_add(file, elf);
    settle(file);
}

void symbol_file_read(struct symbol_space *space, struct symbol_file *file)
{
    if (file->read) {
        return;
    }
    file->read = true;
    if (file->image) {
        Elf *elf = elf_memory((char *)file->image, file->image_size);
        if (elf && elf_kind(elf) == ELF_K_ELF) {
            read_elf(space, file, elf);
        }
        elf_end(elf);
        return;
    }
    struct symbol_handle handle;
    struct stat status;
    if (file->path[0] == '[' || !symbol_open(space, file->path, &handle)) {
        return;
    }
    if (fstat(handle.fd, &status) == 0) {
        file->device = status.st_dev;
        file->inode = status.st_ino;
        file->changed = status.st_mtim;
    }
    read_elf(space, file, handle.elf);
    symbol_close(&handle);
}

void symbol_file_free(struct symbol_file *file)
{
    symbol_lines_free(file->lines);
    free(file->entry);
    free(file->names);
    free(file->image);
    free(file->path);
    free(file);
}
