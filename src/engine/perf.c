/* SPDX-License-Identifier: MIT
 *
 * The map file and the dump; see perf.h. Each record is written at once, since the program may end
 * at any moment. Called with the engine's lock held, so one thread at a time.
 */
#include "engine/perf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "engine/engine.h"
#include "symbol/symbol.h"

enum {
    PRIVATE = 0600,
    DUMP_MAGIC = 0x4a695444,
    DUMP_VERSION = 1,
    DUMP_CODE_LOAD = 0,
};

/* The dump's file header and the fixed part of its JIT_CODE_LOAD records, as specified. */
struct dump_header {
    uint32_t magic, version, total_size, elf_mach, pad, pid;
    uint64_t timestamp, flags;
};

struct dump_load {
    uint32_t id, total_size;
    uint64_t timestamp;
    uint32_t pid, tid;
    uint64_t vma, code_addr, code_size, code_index;
};

_Static_assert(sizeof(struct dump_header) == 40 && sizeof(struct dump_load) == 56,
               "the specification has no padding");

struct perf {
    struct symbol_space *symbols;
    struct perf_options options;
    char folder[PATH_MAX]; /* where dumps go */
    int pid;
    int map, dump; /* descriptors; -1: none, or given up */
    void *mark;    /* a mapping of the dump, by which perf finds it */
    struct strbuf name, record;
};

/* --- files --- */

/* When this process began, in seconds since the epoch: field 22 of /proc/self/stat counts clock
 * ticks since boot, the fields before it are 20 behind the parenthesis of the name. 0: unknown. */
static int64_t process_began(void)
{
    struct timespec boot, now;
    char text[1024], *at;
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return 0;
    text[len] = 0;
    at = strrchr(text, ')');
    for (unsigned i = 0; at && i < 20; i++)
        at = strchr(at + 1, ' ');
    if (!at)
        return 0;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec - boot.tv_sec + (int64_t)strtoull(at, NULL, 10) / sysconf(_SC_CLK_TCK);
}

/* Whether this process has made the file before it executed us. */
static bool goes_on(const struct perf *perf, const char *path)
{
    struct stat status;

    return perf->options.child && lstat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           status.st_uid == geteuid() && status.st_mtime + 1 >= process_began();
}

/* A new file, or the end of the one that this process has begun. The folder may be everybody's: no
 * link is followed, and nobody else's file is used. */
static int open_file(const struct perf *perf, const char *path, bool *new, struct error *err)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_APPEND, fd;

    *new = !goes_on(perf, path);
    if (*new) {
        unlink(path);
        flags |= O_CREAT | O_EXCL;
    }
    fd = open(path, flags, PRIVATE);
    if (fd < 0) {
        error_set(err, "%s: cannot be created: %s", path, strerror(errno));
        return -1;
    }
    return descriptor_own(fd);
}

static bool write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t done = write(fd, at, size);

        if (done < 0 && errno != EINTR)
            return false;
        if (done > 0) {
            at += done;
            size -= (size_t)done;
        }
    }
    return true;
}

/* Writes, or says once that it does not work and gives the file up. */
static void put(int *fd, const char *what, const struct strbuf *text)
{
    char sentence[200];
    int len;

    if (write_all(*fd, text->data, text->len))
        return;
    len = snprintf(sentence, sizeof(sentence), "vitrine: the %s for perf ends here: %s\n", what,
                   strerror(errno));
    log_text(sentence, (size_t)len);
    close(*fd);
    *fd = -1;
}

static bool open_map(struct perf *perf, struct error *err)
{
    char path[64];
    bool new;

    snprintf(path, sizeof(path), "/tmp/perf-%d.map", perf->pid);
    perf->map = open_file(perf, path, &new, err);
    return perf->map >= 0;
}

/* perf looks for files of that name among what the process maps executable. */
static bool mark_dump(struct perf *perf, const char *path, struct error *err)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    perf->mark = mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, perf->dump, 0);
    if (perf->mark == MAP_FAILED)
        return error_set(err,
                         "%s: cannot be mapped: %s (perf needs it on a file system whose files may "
                         "be executed)",
                         path, strerror(errno));
    madvise(perf->mark, page, MADV_DONTFORK);
    return true;
}

static bool open_dump(struct perf *perf, struct error *err)
{
    const struct dump_header header = {
        .magic = DUMP_MAGIC,
        .version = DUMP_VERSION,
        .total_size = sizeof(header),
        .elf_mach = EM_X86_64,
        .pid = (uint32_t)perf->pid,
        .timestamp = clock_monotonic(),
    };
    char path[PATH_MAX + 32];
    bool new;

    snprintf(path, sizeof(path), "%s/jit-%d.dump", perf->folder, perf->pid);
    perf->dump = open_file(perf, path, &new, err);
    if (perf->dump < 0)
        return false;
    if (new && !write_all(perf->dump, &header, sizeof(header)))
        return error_set(err, "%s: %s", path, strerror(errno));
    return mark_dump(perf, path, err);
}

static bool open_files(struct perf *perf, struct error *err)
{
    perf->pid = getpid();
    perf->map = perf->dump = -1;
    return (!perf->options.map || open_map(perf, err)) &&
           (!perf->options.dump || open_dump(perf, err));
}

/* --- records --- */

/* A name is a word of one line: what else a guest's file has in it would break it. */
static void make_name(struct perf *perf, const struct engine_code *code)
{
    static const char *const kinds[] = {
        [ENGINE_CODE_BLOCK] = "",
        [ENGINE_CODE_EXITS] = "vitrine!exits:",
        [ENGINE_CODE_GLUE] = "vitrine!glue",
    };

    strbuf_clear(&perf->name);
    strbuf_puts(&perf->name, kinds[code->kind]);
    if (code->kind != ENGINE_CODE_GLUE &&
        !(perf->symbols && symbol_format(perf->symbols, code->pc, SYMBOL_FULL, &perf->name)))
        strbuf_printf(&perf->name, "0x%" PRIx64, code->pc);
    for (size_t i = 0; i < perf->name.len; i++)
        if ((unsigned char)perf->name.data[i] <= ' ' || perf->name.data[i] == 0x7f)
            perf->name.data[i] = '_';
}

static void add_to_dump(struct perf *perf, const struct engine_code *code)
{
    struct dump_load load = {
        .id = DUMP_CODE_LOAD,
        .total_size = (uint32_t)(sizeof(load) + perf->name.len + 1 + code->size),
        .timestamp = clock_monotonic(),
        .pid = (uint32_t)perf->pid,
        .tid = (uint32_t)gettid(),
        .vma = code->exec,
        .code_addr = code->exec,
        .code_size = code->size,
        /* Unique also where an executed program goes on with the file: where the record begins. */
        .code_index = (uint64_t)lseek(perf->dump, 0, SEEK_END),
    };

    strbuf_clear(&perf->record);
    strbuf_add(&perf->record, (const char *)&load, sizeof(load));
    strbuf_add(&perf->record, perf->name.data, perf->name.len + 1);
    strbuf_add(&perf->record, code->bytes, code->size);
    put(&perf->dump, "dump", &perf->record);
}

static void made(void *opaque, const struct engine_code *code)
{
    struct perf *perf = opaque;

    if (perf->map < 0 && perf->dump < 0)
        return;
    make_name(perf, code);
    if (perf->map >= 0) {
        strbuf_clear(&perf->record);
        strbuf_printf(&perf->record, "%" PRIx64 " %zx %s\n", code->exec, code->size,
                      perf->name.data);
        put(&perf->map, "map file", &perf->record);
    }
    if (perf->dump >= 0)
        add_to_dump(perf, code);
}

/* A program in the middle of its work does not end because nobody can watch its child. */
static void forked(void *opaque)
{
    struct perf *perf = opaque;
    struct error err;

    if (perf->map >= 0)
        close(perf->map);
    if (perf->dump >= 0)
        close(perf->dump);
    perf->options.child = false;
    if (!open_files(perf, &err)) {
        error_prefix(&err, "vitrine: ");
        log_text(err.text, strlen(err.text));
        log_text("\n", 1);
    }
}

bool perf_start(struct engine *engine, const struct perf_options *options, struct error *err)
{
    struct perf *perf = mem_alloc(sizeof(*perf)); /* as long as the process */
    const struct engine_listener listener = {.opaque = perf, .made = made, .forked = forked};

    perf->symbols = engine_symbols(engine);
    perf->options = *options;
    strbuf_init(&perf->name);
    strbuf_init(&perf->record);
    if (!getcwd(perf->folder, sizeof(perf->folder)))
        return error_set(err, "-jitdump: the working folder has no name: %s", strerror(errno));
    if (!open_files(perf, err))
        return false;
    engine_listen(engine, &listener);
    return true;
}
