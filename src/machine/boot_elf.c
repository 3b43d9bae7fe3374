/* SPDX-License-Identifier: MIT
 *
 * Kernels that start in 32-bit code: files with a multiboot header (Multiboot Specification 0.6.96,
 * 3.1), and ELF files with Xen's note of a PVH entry (xen/include/public/elfnote.h,
 * docs/misc/pvh). They become lists of pieces. */
#include <elf.h>
#include <string.h>

#include "base/load.h"
#include "machine/boot_internal.h"

enum {
    HEADER_WITHIN = 8192, /* bytes of the file */
    MULTIBOOT_MAGIC = 0x1badb002,
    REQUIREMENTS = 0xffff, /* flags that a loader must know */
    KNOWN = 0x0007,        /* modules on pages, sizes of memory, video mode */
    HAS_ADDRESSES = 0x10000,
    SEGMENTS_MAX = 128,
    NOTE_PHYS32_ENTRY = 18,
    NOTES_MAX = 1 << 20, /* bytes of a segment */
    LOW_BEGIN = 0x1000,  /* of what kernels may use below 640 KiB */
    LOW_END = 0x9f000,
};

enum multiboot_field {
    MB_FLAGS = 4,
    MB_CHECKSUM = 8,
    MB_HEADER_ADDR = 12,
    MB_LOAD_ADDR = 16,
    MB_LOAD_END_ADDR = 20,
    MB_BSS_END_ADDR = 24,
    MB_ENTRY_ADDR = 28,
    MB_SIZE = 32, /* of those above */
};

bool boot_image_add(struct boot_image *image, uint64_t ram_below_4g, const char *what,
                    uint64_t address, const uint8_t *bytes, uint64_t size, uint64_t memory_size,
                    struct error *err)
{
    uint64_t end = address + memory_size;
    bool low = address >= LOW_BEGIN && end <= LOW_END;
    bool high = address >= BOOT_HIGH && end <= boot_memory_end(ram_below_4g);

    if (size > memory_size || memory_size > UINT32_MAX || address > UINT32_MAX) {
        return error_set(err, "%s has impossible sizes", what);
    }
    if (!low && !high) {
        return error_set(err,
                         "%s goes to 0x%llx-0x%llx, where no memory is for it: there is some at "
                         "0x%x-0x%x and 0x%x-0x%llx",
                         what, (unsigned long long)address, (unsigned long long)end, LOW_BEGIN,
                         LOW_END, BOOT_HIGH, (unsigned long long)boot_memory_end(ram_below_4g));
    }
    if (image->pieces == BOOT_PIECES_MAX) {
        return error_set(err, "there are more than %u pieces to load", BOOT_PIECES_MAX);
    }
    image->piece[image->pieces++] = (struct boot_piece){
        .address = (uint32_t)address,
        .size = (uint32_t)size,
        .zeros = (uint32_t)(memory_size - size),
        .bytes = bytes,
    };
    return true;
}

/* --- ELF, of either class --- */

struct segment {
    uint32_t type;
    uint64_t offset, linked, address, file_size, memory_size, align;
};

struct elf {
    const uint8_t *bytes;
    size_t size;
    bool wide; /* ELFCLASS64 */
    uint16_t machine;
    uint64_t entry, headers;
    unsigned header_size, segments;
};

static bool is_elf(const uint8_t *bytes, size_t size)
{
    return size >= sizeof(Elf32_Ehdr) && !memcmp(bytes, ELFMAG, SELFMAG);
}

static bool read_header(const uint8_t *bytes, size_t size, struct elf *elf, struct error *err)
{
    Elf32_Ehdr narrow;
    Elf64_Ehdr wide;

    *elf = (struct elf){.bytes = bytes, .size = size, .wide = bytes[EI_CLASS] == ELFCLASS64};
    if (bytes[EI_DATA] != ELFDATA2LSB || (elf->wide && size < sizeof wide)) {
        return error_set(err, "it is an ELF file for another processor, or a damaged one");
    }
    if (elf->wide) {
        memcpy(&wide, bytes, sizeof wide);
        elf->machine = wide.e_machine;
        elf->entry = wide.e_entry;
        elf->headers = wide.e_phoff;
        elf->header_size = wide.e_phentsize;
        elf->segments = wide.e_phnum;
    } else {
        memcpy(&narrow, bytes, sizeof narrow);
        elf->machine = narrow.e_machine;
        elf->entry = narrow.e_entry;
        elf->headers = narrow.e_phoff;
        elf->header_size = narrow.e_phentsize;
        elf->segments = narrow.e_phnum;
    }
    if (elf->machine != EM_386 && elf->machine != EM_X86_64) {
        return error_set(err, "it is an ELF file for another processor");
    }
    if (elf->segments > SEGMENTS_MAX) {
        return error_set(err, "it has %u program headers; %u are possible", elf->segments,
                         SEGMENTS_MAX);
    }
    if (elf->header_size < (elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
        elf->headers > size || (uint64_t)elf->segments * elf->header_size > size - elf->headers) {
        return error_set(err, "its program headers lie outside of the file");
    }
    return true;
}

/* False: the segment's bytes lie outside of the file. */
static bool read_segment(const struct elf *elf, unsigned number, struct segment *segment)
{
    const uint8_t *at = elf->bytes + elf->headers + number * (size_t)elf->header_size;
    Elf32_Phdr narrow;
    Elf64_Phdr wide;

    if (elf->wide) {
        memcpy(&wide, at, sizeof wide);
        *segment = (struct segment){wide.p_type,   wide.p_offset, wide.p_vaddr, wide.p_paddr,
                                    wide.p_filesz, wide.p_memsz,  wide.p_align};
    } else {
        memcpy(&narrow, at, sizeof narrow);
        *segment =
            (struct segment){narrow.p_type,   narrow.p_offset, narrow.p_vaddr, narrow.p_paddr,
                             narrow.p_filesz, narrow.p_memsz,  narrow.p_align};
    }
    return segment->offset <= elf->size && segment->file_size <= elf->size - segment->offset;
}

/* Appends what is to be loaded. The entry of a file linked elsewhere than it is loaded goes to
 * where its segment is. */
static bool add_segments(struct boot_image *image, uint64_t ram_below_4g, const struct elf *elf,
                         uint64_t *entry, struct error *err)
{
    bool moved = false;

    *entry = elf->entry;
    for (unsigned i = 0; i < elf->segments; i++) {
        struct segment segment;
        bool inside = read_segment(elf, i, &segment);
        if (segment.type != PT_LOAD || !segment.memory_size) {
            continue;
        }
        if (!inside) {
            return error_set(err, "the file is cut off: a segment lies behind its end");
        }
        if (!boot_image_add(image, ram_below_4g, "a segment", segment.address,
                            elf->bytes + segment.offset, segment.file_size, segment.memory_size,
                            err)) {
            return false;
        }
        if (!moved && elf->entry >= segment.linked &&
            elf->entry - segment.linked < segment.memory_size) {
            *entry = elf->entry - segment.linked + segment.address;
            moved = true;
        }
    }
    if (!image->pieces) {
        return error_set(err, "it has no segment to load");
    }
    return true;
}

/* --- multiboot --- */

static bool find_multiboot(const uint8_t *bytes, size_t size, size_t *at)
{
    size_t end = size < HEADER_WITHIN ? size : (size_t)HEADER_WITHIN;

    for (*at = 0; *at + MB_CHECKSUM + 4 <= end; *at += 4) {
        if (load32(bytes + *at) == MULTIBOOT_MAGIC && load32(bytes + *at) +
                                                              load32(bytes + *at + MB_FLAGS) +
                                                              load32(bytes + *at + MB_CHECKSUM) ==
                                                          0) {
            return true;
        }
    }
    return false;
}

/* The header says itself what goes where ("a.out kludge"). */
static bool add_by_addresses(struct boot_image *image, uint64_t ram_below_4g, const uint8_t *bytes,
                             size_t size, size_t at, struct error *err)
{
    if (at + MB_SIZE > size || at + MB_SIZE > HEADER_WITHIN) {
        return error_set(err, "its multiboot header is cut off");
    }
    uint32_t header = load32(bytes + at + MB_HEADER_ADDR);
    uint32_t load = load32(bytes + at + MB_LOAD_ADDR);
    uint32_t load_end = load32(bytes + at + MB_LOAD_END_ADDR);
    uint32_t bss_end = load32(bytes + at + MB_BSS_END_ADDR);
    if (load > header || header - load > at) {
        return error_set(err,
                         "its multiboot header lies at 0x%x in the file and 0x%x in memory, so "
                         "that nothing of the file can be at load_addr, 0x%x",
                         (unsigned)at, header, load);
    }
    size_t from = at - (header - load);
    uint64_t length = load_end ? (uint64_t)load_end - load : size - from;
    if (load_end && (load_end < load || length > size - from)) {
        return error_set(
            err, "load_end_addr of its multiboot header, 0x%x, is no place in the file", load_end);
    }
    if (bss_end && bss_end < load + length) {
        return error_set(
            err, "bss_end_addr of its multiboot header, 0x%x, is below the end of data", bss_end);
    }
    image->entry = load32(bytes + at + MB_ENTRY_ADDR);
    return boot_image_add(image, ram_below_4g, "the kernel", load, bytes + from, length,
                          bss_end ? bss_end - load : length, err);
}

static bool parse_multiboot(struct boot_image *image, uint64_t ram_below_4g, const uint8_t *bytes,
                            size_t size, size_t at, struct error *err)
{
    struct elf elf;
    uint64_t entry;

    image->multiboot_flags = load32(bytes + at + MB_FLAGS);
    if (image->multiboot_flags & REQUIREMENTS & ~(unsigned)KNOWN) {
        return error_set(err, "its multiboot header asks for flags 0x%x, of which 0x%x are unknown",
                         image->multiboot_flags,
                         image->multiboot_flags & REQUIREMENTS & ~(unsigned)KNOWN);
    }
    if (image->multiboot_flags & HAS_ADDRESSES) {
        return add_by_addresses(image, ram_below_4g, bytes, size, at, err);
    }
    if (!is_elf(bytes, size)) {
        return error_set(err, "it has a multiboot header without addresses, but is no ELF file");
    }
    if (!read_header(bytes, size, &elf, err)) {
        return false;
    }
    /* A 64-bit file is loaded as GRUB does; it is entered in 32-bit code all the same. */
    if (!add_segments(image, ram_below_4g, &elf, &entry, err)) {
        return false;
    }
    if (entry > UINT32_MAX) {
        return error_set(err, "its entry, 0x%llx, lies in no segment", (unsigned long long)entry);
    }
    image->entry = (uint32_t)entry;
    return true;
}

enum boot_verdict boot_multiboot_parse(const uint8_t *bytes, size_t size, uint64_t ram_below_4g,
                                       struct boot_image *image, struct error *err)
{
    size_t at;

    if (!find_multiboot(bytes, size, &at)) {
        return BOOT_NOT;
    }
    *image = (struct boot_image){.kind = BOOT_MULTIBOOT};
    return parse_multiboot(image, ram_below_4g, bytes, size, at, err) ? BOOT_GOOD : BOOT_BAD;
}

/* --- PVH --- */

/* Looks through the notes of a segment: name size, descriptor size, type, then name and descriptor,
 * each filled up to the alignment. */
static bool find_entry_note(const struct elf *elf, const struct segment *segment, uint32_t *entry)
{
    const uint8_t *at = elf->bytes + segment->offset;
    uint64_t left = segment->file_size < NOTES_MAX ? segment->file_size : (uint64_t)NOTES_MAX;
    uint64_t align = segment->align == 8 ? 8 : 4;

    while (left >= sizeof(Elf32_Nhdr)) {
        Elf32_Nhdr note;
        memcpy(&note, at, sizeof note);
        uint64_t descriptor = sizeof note + note.n_namesz;
        descriptor = (descriptor + align - 1) & ~(align - 1);
        if (descriptor > left || note.n_descsz > left - descriptor) {
            return false;
        }
        if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
            !memcmp(at + sizeof note, "Xen", 4) && note.n_descsz >= 4) {
            *entry = load32(at + descriptor);
            return true;
        }
        uint64_t next = (descriptor + note.n_descsz + align - 1) & ~(align - 1);
        if (next > left) {
            return false;
        }
        at += next;
        left -= next;
    }
    return false;
}

static bool find_pvh_entry(const struct elf *elf, uint32_t *entry)
{
    for (unsigned i = 0; i < elf->segments; i++) {
        struct segment segment;
        if (read_segment(elf, i, &segment) && segment.type == PT_NOTE &&
            find_entry_note(elf, &segment, entry)) {
            return true;
        }
    }
    return false;
}

static bool parse_pvh(struct boot_image *image, uint64_t ram_below_4g, const uint8_t *bytes,
                      size_t size, struct error *err)
{
    struct elf elf;
    uint64_t entry;

    if (!read_header(bytes, size, &elf, err)) {
        return false;
    }
    if (!find_pvh_entry(&elf, &image->entry)) {
        return error_set(err, "Error loading uncompressed kernel without PVH ELF Note");
    }
    return add_segments(image, ram_below_4g, &elf, &entry, err);
}

enum boot_verdict boot_pvh_parse(const uint8_t *bytes, size_t size, uint64_t ram_below_4g,
                                 struct boot_image *image, struct error *err)
{
    if (!is_elf(bytes, size)) {
        return BOOT_NOT;
    }
    *image = (struct boot_image){.kind = BOOT_PVH};
    return parse_pvh(image, ram_below_4g, bytes, size, err) ? BOOT_GOOD : BOOT_BAD;
}
