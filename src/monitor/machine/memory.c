/* SPDX-License-Identifier: MIT
 *
 * Commands about memory and ports. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "guest/x86/access.h"
#include "guest/x86/paging.h"
#include "monitor/machine/dump.h"
#include "monitor/machine/internal.h"

enum { PAGE = 4096 };

/* --- reading --- */

/* Physical memory, as the vCPU would read it: registers of devices too. */
static bool read_physical(void *opaque, uint64_t address, void *to, size_t size)
{
    struct machine_cpu *cpu = opaque;

    return mem_read(cpu->machine->board.memory, (int)cpu->number, address, to, size) == MEM_OK;
}

/* Where a linear address leads now; the vCPU stands. */
static bool translate(struct machine_cpu *cpu, uint64_t linear, uint64_t *physical)
{
    struct x86_walk walk;

    if (!x86_long(cpu->x86) && linear > UINT32_MAX) {
        return false;
    }
    bool found = x86_look(cpu->x86, linear, &walk);
    *physical = found ? walk.physical : 0;
    return found;
}

static bool read_linear(void *opaque, uint64_t address, void *to, size_t size)
{
    struct machine_cpu *cpu = opaque;
    uint64_t physical;

    while (size) {
        size_t part = PAGE - address % PAGE < size ? PAGE - address % PAGE : size;
        if (!translate(cpu, address, &physical) || !read_physical(cpu, physical, to, part)) {
            return false;
        }
        address += part;
        to = (uint8_t *)to + part;
        size -= part;
    }
    return true;
}

/* --- x, xp --- */

static enum disas_mode code_mode(const struct x86_cpu *cpu)
{
    return x86_code64(cpu)                                           ? DISAS_64
           : cpu->system.segment[NATIVE_CS].attributes & X86_SEG_BIG ? DISAS_32
                                                                     : DISAS_16;
}

static bool dump(struct monitor_session *session, const struct monitor_arguments *arguments,
                 bool (*read)(void *opaque, uint64_t address, void *to, size_t size))
{
    struct machine_cpu *cpu = session_cpu(session);
    const struct dump_source source = {cpu, read};
    const struct monitor_format format = arguments->format;

    machine_hold(cpu->machine);
    if (format.letter == 'i') {
        dump_code(session, &source, code_mode(cpu->x86), format.count, arguments->value[0].number);
    } else {
        dump_memory(session, &source, format, arguments->value[0].number);
    }
    machine_release(cpu->machine);
    return true;
}

static bool run_x(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    return dump(session, arguments, read_linear);
}

static bool run_xp(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    return dump(session, arguments, read_physical);
}

static bool run_gva2gpa(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct machine_cpu *cpu = session_cpu(session);
    uint64_t physical;

    machine_hold(cpu->machine);
    bool found = translate(cpu, arguments->value[0].number, &physical);
    machine_release(cpu->machine);
    if (found) {
        monitor_printf(session, "gpa: 0x%" PRIx64 "\n", physical);
    } else {
        monitor_printf(session, "Unmapped\n");
    }
    return true;
}

static bool run_gpa2hva(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const uint64_t address = arguments->value[0].number;
    struct mem_range range;

    if (!mem_find(session_machine(session)->board.memory, address, &range)) {
        monitor_printf(session, "No memory is mapped at address 0x%" PRIx64 "\n", address);
        return true;
    }
    uint8_t *host = mem_host(range.region);
    if (!host) {
        monitor_printf(session, "Memory at address 0x%" PRIx64 " is not RAM\n", address);
    } else {
        monitor_printf(session, "Host virtual address for 0x%" PRIx64 " (%s) is %p\n", address,
                       range.region->name, (void *)(host + range.offset + (address - range.start)));
    }
    return true;
}

/* --- memsave, pmemsave --- */

static bool write_all(int fd, const uint8_t *bytes, size_t count)
{
    while (count) {
        ssize_t n = write(fd, bytes, count);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        bytes += n > 0 ? n : 0;
        count -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* RAM and ROM; nothing is read from devices, they count as zeros, as what is not there does. */
static bool save_physical(void *opaque, uint64_t address, void *to, size_t size)
{
    struct machine_cpu *cpu = opaque;
    struct mem_range range;

    memset(to, 0, size);
    while (size) {
        bool found = mem_find(cpu->machine->board.memory, address, &range);
        uint64_t left = range.size ? range.size - (address - range.start) : UINT64_MAX;
        size_t part = left < size ? (size_t)left : size;
        const uint8_t *host = found ? mem_host(range.region) : NULL;
        if (host) {
            memcpy(to, host + range.offset + (address - range.start), part);
        }
        address += part;
        to = (uint8_t *)to + part;
        size -= part;
    }
    return true;
}

static bool save_linear(void *opaque, uint64_t address, void *to, size_t size)
{
    uint64_t physical;

    return translate(opaque, address, &physical) && save_physical(opaque, physical, to, size);
}

/* Page by page. */
static bool save(struct machine_cpu *cpu, int fd, uint64_t address, uint64_t size,
                 const struct dump_source *source, struct error *err)
{
    uint8_t page[PAGE];
    const uint64_t first = address, all = size;

    while (size) {
        size_t part = PAGE - address % PAGE < size ? PAGE - address % PAGE : (size_t)size;
        if (!source->read(cpu, address, page, part)) {
            return error_set(err, "Invalid addr 0x%016" PRIx64 "/size %" PRIu64 " specified", first,
                             all);
        }
        if (!write_all(fd, page, part)) {
            return error_set(err, "%s", strerror(errno));
        }
        address += part;
        size -= part;
    }
    return true;
}

static bool save_to_file(struct monitor_session *session, const struct monitor_arguments *arguments,
                         bool (*read)(void *opaque, uint64_t address, void *to, size_t size))
{
    struct machine_cpu *cpu = session_cpu(session);
    const struct dump_source source = {cpu, read};
    const char *path = arguments->value[2].word;
    struct error err;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) {
        monitor_printf(session, "Error: Could not open '%s': %s\n", path, strerror(errno));
        return true;
    }
    machine_hold(cpu->machine);
    bool good =
        save(cpu, fd, arguments->value[0].number, arguments->value[1].number, &source, &err);
    machine_release(cpu->machine);
    if (close(fd) && good) {
        good = error_set(&err, "%s: %s", path, strerror(errno));
    }
    if (!good) {
        session_print_error(session, &err);
    }
    return true;
}

static bool run_memsave(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    return save_to_file(session, arguments, save_linear);
}

static bool run_pmemsave(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    return save_to_file(session, arguments, save_physical);
}

/* --- ports --- */

/* Of the size that the format says; 8 bytes do not go through a port. */
static unsigned port_size(const struct monitor_arguments *arguments, char *letter)
{
    const unsigned size = arguments->format.size;

    *letter = size == 4 ? 'l' : size == 2 ? 'w' : 'b';
    return size == 8 ? 1 : size;
}

static bool run_in(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct machine_cpu *cpu = session_cpu(session);
    const uint16_t port = (uint16_t)arguments->value[0].number;
    char letter;
    const unsigned size = port_size(arguments, &letter);
    const uint32_t value = mem_in(cpu->machine->board.ports, (int)cpu->number, port, size);

    monitor_printf(session, "port%c[0x%04x] = 0x%0*x\n", letter, port, (int)size * 2, value);
    return true;
}

static bool run_out(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct machine_cpu *cpu = session_cpu(session);
    char letter;
    const unsigned size = port_size(arguments, &letter);

    mem_out(cpu->machine->board.ports, (int)cpu->number, (uint16_t)arguments->value[0].number,
            (uint32_t)arguments->value[1].number, size);
    return true;
}

/* --- the tree --- */

static bool info_mtree(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const struct board *board = &session_machine(session)->board;
    struct mem_space *const spaces[] = {board->memory, board->ports};
    struct strbuf text;

    strbuf_init(&text);
    mem_print(spaces, 2, monitor_flag(arguments, 'f'), &text);
    session_print_text(session, &text);
    return true;
}

/* clang-format off */
static const struct monitor_command commands[] = {
    {"gpa2hva", "addr", "print the host virtual address corresponding to a guest physical address",
     "e", run_gpa2hva, NULL},
    {"gva2gpa", "addr", "print the guest physical address corresponding to a guest virtual address",
     "e", run_gva2gpa, NULL},
    {"i", "/fmt addr", "I/O port read", "/n", run_in, NULL},
    {"memsave", "addr size file",
     "save to disk virtual memory dump starting at 'addr' of size 'size'", "enf", run_memsave, NULL},
    {"o", "/fmt addr value", "I/O port write", "/nn", run_out, NULL},
    {"pmemsave", "addr size file",
     "save to disk physical memory dump starting at 'addr' of size 'size'", "enf", run_pmemsave,
     NULL},
    {"x", "/fmt addr", "virtual memory dump starting at 'addr'", "/e", run_x, NULL},
    {"xp", "/fmt addr", "physical memory dump starting at 'addr'", "/e", run_xp, NULL},
};

static const struct monitor_command info[] = {
    {"mtree", "[-f]", "show memory tree (-f: dump flat view for address spaces)", "-f", info_mtree,
     NULL},
};
/* clang-format on */

void monitor_add_memory_commands(struct monitor *monitor)
{
    monitor_add(monitor, MONITOR_MAIN, commands, sizeof commands / sizeof commands[0]);
    monitor_add(monitor, MONITOR_INFO, info, sizeof info / sizeof info[0]);
}
