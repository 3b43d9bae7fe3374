/* SPDX-License-Identifier: MIT
 *
 * Names for the entries of the procedure linkage table, which has none of its own: each jumps
 * through a slot of the global offset table, and a relocation says whose slot that is.
 *
 *     f3 0f 1e fa      endbr64 (.plt.sec, .plt.got of programs built for CET)
 *     [f2] ff 25 rel32 jmp *slot(%rip)     (i386: jmp *slot, absolute)
 */
#include <elf.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "base/load.h"
#include "base/memory.h"
#include "symbol/internal.h"

enum { SLOTS_MAX = 1 << 16, ENTRY = 16, RANK_PLT = 0x0fff };

struct slot {
    uint64_t address;
    char *name; /* with @plt */
};

struct slots {
    size_t count;
    struct slot row[SLOTS_MAX];
};

static int compare(const void *left, const void *right)
{
    const struct slot *a = left, *b = right;
    return a->address < b->address ? -1 : a->address > b->address;
}

/* The name of symbol number `index` of a table, or NULL. */
static const char *name_at(Elf *elf, const GElf_Shdr *table, Elf_Data *symbols, size_t index)
{
    GElf_Sym symbol;
    return gelf_getsym(symbols, (int)index, &symbol)
               ? elf_strptr(elf, table->sh_link, symbol.st_name)
               : NULL;
}

static void add_slots(struct slots *slots, Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(section, NULL);
    Elf_Scn *table = elf_getscn(elf, header->sh_link);
    Elf_Data *symbols = table ? elf_getdata(table, NULL) : NULL;
    GElf_Shdr table_header;
    if (!data || !symbols || !header->sh_entsize || !gelf_getshdr(table, &table_header)) {
        return;
    }
    bool addends = header->sh_type == SHT_RELA;
    size_t count = data->d_size / header->sh_entsize;
    for (size_t i = 0; i < count && slots->count < SLOTS_MAX; i++) {
        GElf_Rela with;
        GElf_Rel without;
        if (addends ? !gelf_getrela(data, (int)i, &with) : !gelf_getrel(data, (int)i, &without)) {
            return;
        }
        uint64_t info = addends ? with.r_info : without.r_info;
        unsigned type = GELF_R_TYPE(info);
        /* The two kinds have the same numbers for i386 and x86-64. */
        if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) {
            continue;
        }
        const char *name = name_at(elf, &table_header, symbols, GELF_R_SYM(info));
        if (name && *name) {
            slots->row[slots->count++] = (struct slot){
                addends ? with.r_offset : without.r_offset,
                mem_format("%.*s@plt", (int)strnlen(name, SYMBOL_NAME_MAX - 4), name)};
        }
    }
}

/* The slot that the first indirect jump of an entry goes through; 0: there is none. */
static uint64_t slot_of(const uint8_t *entry, size_t size, uint64_t address, bool wide)
{
    for (size_t i = 0; i + 6 <= size; i++) {
        if (entry[i] == 0xff && entry[i + 1] == 0x25) {
            uint32_t word = load32(entry + i + 2);
            return wide ? address + i + 6 + (uint64_t)(int64_t)(int32_t)word : word;
        }
    }
    return 0;
}

static void name_entries(struct symbol_file *file, Elf *elf, const struct slots *slots,
                         Elf_Scn *section, const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(section, NULL);
    size_t step = header->sh_entsize == 8 ? 8 : ENTRY;
    bool wide = gelf_getclass(elf) == ELFCLASS64;
    if (!data || !data->d_buf) {
        return;
    }
    for (size_t at = 0; at + step <= data->d_size; at += step) {
        uint64_t address = header->sh_addr + at;
        struct slot key = {slot_of((const uint8_t *)data->d_buf + at, step, address, wide), NULL};
        const struct slot *slot = bsearch(&key, slots->row, slots->count, sizeof key, compare);
        const struct symbol_new entry = {address, step, 0, RANK_PLT};
        if (slot && !symbol_file_add(file, &entry, slot->name, strlen(slot->name))) {
            return;
        }
    }
}

void symbol_plt_add(struct symbol_file *file, Elf *elf)
{
    GElf_Ehdr head;
    size_t names;
    if (!gelf_getehdr(elf, &head) || (head.e_machine != EM_X86_64 && head.e_machine != EM_386) ||
        elf_getshdrstrndx(elf, &names) != 0) {
        return;
    }
    struct slots *slots = mem_alloc(sizeof *slots);
    GElf_Shdr header;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        if (gelf_getshdr(section, &header) &&
            (header.sh_type == SHT_RELA || header.sh_type == SHT_REL) &&
            header.sh_flags & SHF_ALLOC) {
            add_slots(slots, elf, section, &header);
        }
    }
    qsort(slots->row, slots->count, sizeof slots->row[0], compare);
    for (Elf_Scn *section = NULL; slots->count && (section = elf_nextscn(elf, section));) {
        const char *name = gelf_getshdr(section, &header) && header.sh_type == SHT_PROGBITS
                               ? elf_strptr(elf, names, header.sh_name)
                               : NULL;
        if (name && !strncmp(name, ".plt", 4)) {
            name_entries(file, elf, slots, section, &header);
        }
    }
    for (size_t i = 0; i < slots->count; i++) {
        free(slots->row[i].name);
    }
    free(slots);
}
