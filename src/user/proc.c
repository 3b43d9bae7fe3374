/* SPDX-License-Identifier: MIT
 *
 * What the guest sees of itself in /proc. Where the kernel can be told the truth it is (arguments,
 * environment, auxv, name: then others see it too); the rest is made here, as a file in memory with
 * the text of the moment of open(). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/log.h"
#include "base/logitems.h"
#include "base/memory.h"
#include "user/internal.h"

enum { PATH_ROOM = 4096, NAME_COLUMN = 73 };

/* --- what the kernel is told --- */

/* A field of /proc/self/stat, counted from 1 as in proc(5); 0 if it cannot be read. */
static uint64_t stat_field(const char *text, int number)
{
    const char *at = strrchr(text, ')'); /* the name, field 2, may hold anything */

    for (int field = 2; at && field < number; field++) {
        at = strchr(at + 1, ' ');
    }
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* prctl(2): PR_SET_MM_MAP needs no privilege as long as the executable stays. What we do not want
 * to change is given as it is. */
static bool tell_kernel(const struct user *user)
{
    const struct user_image *image = &user->image;
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;

    if (fd >= 0) {
        close(fd);
    }
    if (len <= 0) {
        return false;
    }
    text[len] = 0;
    struct prctl_mm_map map = {
        .start_code = stat_field(text, 26),
        .end_code = stat_field(text, 27),
        .start_data = stat_field(text, 45),
        .end_data = stat_field(text, 46),
        .start_brk = stat_field(text, 47),
        .brk = (uint64_t)(uintptr_t)sbrk(0),
        .start_stack = image->stack,
        .arg_start = image->arg_start,
        .arg_end = image->arg_end,
        .env_start = image->env_start,
        .env_end = image->env_end,
        .auxv = (void *)(uintptr_t)image->auxv, // NOLINT
        .auxv_size = (uint32_t)(image->auxv_count * sizeof *image->auxv),
        .exe_fd = (uint32_t)-1,
    };
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) == 0;
}

/* --- texts --- */

static const char *name_of(const struct user_mapping *m)
{
    static const char *const areas[] = {[USER_AREA_HEAP] = "[heap]",
                                        [USER_AREA_STACK] = "[stack]",
                                        [USER_AREA_VDSO] = "[vdso]",
                                        [USER_AREA_VVAR] = "[vvar]"};

    return m->file ? m->file->path : m->area != USER_AREA_PLAIN ? areas[m->area] : "";
}

/* The kernel writes \012 for a line feed in a name. */
static void add_name(struct strbuf *s, const char *name)
{
    for (; *name; name++) {
        if (*name == '\n') {
            strbuf_puts(s, "\\012");
        } else {
            strbuf_putc(s, *name);
        }
    }
}

static void add_mapping(struct strbuf *s, const struct user_mapping *m, const char *name)
{
    const dev_t device = m->file ? m->file->device : 0;
    const size_t start = s->len;

    strbuf_printf(s, "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64 " %02x:%02x %" PRIu64 " ",
                  m->start, m->end, m->prot & PROT_READ ? 'r' : '-',
                  m->prot & PROT_WRITE ? 'w' : '-', m->prot & PROT_EXEC ? 'x' : '-',
                  m->shared ? 's' : 'p', m->file ? m->offset : 0, major(device), minor(device),
                  m->file ? (uint64_t)m->file->inode : 0);
    while (*name && s->len - start < NAME_COLUMN) {
        strbuf_putc(s, ' ');
    }
    add_name(s, name);
    strbuf_putc(s, '\n');
}

/* A copy of the table, so that no text is made with its lock held. */
static struct user_mapping *snapshot(struct user *user, size_t *count)
{
    sigset_t saved;

    user_map_lock(user, &saved);
    *count = user->map.count;
    struct user_mapping *copy = mem_alloc((*count + 1) * sizeof *copy);
    memcpy(copy, user->map.mapping, *count * sizeof *copy);
    for (size_t i = 0; i < *count; i++) {
        user_file_keep(copy[i].file);
    }
    user_map_unlock(user, &saved);
    return copy;
}

static void snapshot_free(struct user *user, struct user_mapping *copy, size_t count)
{
    sigset_t saved;

    user_map_lock(user, &saved);
    for (size_t i = 0; i < count; i++) {
        user_file_drop(copy[i].file);
    }
    user_map_unlock(user, &saved);
    free(copy);
}

static void write_maps(struct user *user, struct strbuf *s)
{
    size_t count;
    struct user_mapping *m = snapshot(user, &count);

    for (size_t i = 0; i < count; i++) {
        add_mapping(s, &m[i], name_of(&m[i]));
    }
    snapshot_free(user, m, count);
    strbuf_puts(s, "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0"
                   "                  [vsyscall]\n");
}

/* --- smaps: the host's figures, summed for each of the guest's mappings --- */

enum { SMAPS_FIELDS = 32 };

struct smaps_field {
    char name[32];
    uint64_t kib;
};

struct smaps_sum {
    struct smaps_field field[SMAPS_FIELDS];
    unsigned fields;
    bool huge;       /* THPeligible, of any */
    char flags[160]; /* VmFlags of the first, without the rights */
};

static void add_field(struct smaps_sum *sum, const char *name, uint64_t kib)
{
    unsigned i = 0;

    while (i < sum->fields && strcmp(sum->field[i].name, name)) {
        i++;
    }
    if (i == SMAPS_FIELDS) {
        return;
    }
    if (i == sum->fields) {
        snprintf(sum->field[sum->fields++].name, sizeof sum->field->name, "%s", name);
    }
    sum->field[i].kib += kib;
}

/* The rights are those of the guest's mapping; the host's may be fewer. */
static void take_flags(struct smaps_sum *sum, char *words)
{
    char *rest, *word = strtok_r(words, " \n", &rest);

    if (sum->flags[0]) {
        return;
    }
    for (; word; word = strtok_r(NULL, " \n", &rest)) {
        if (strcmp(word, "rd") != 0 && strcmp(word, "wr") != 0 && strcmp(word, "ex") != 0) {
            size_t end = strlen(sum->flags);
            snprintf(sum->flags + end, sizeof sum->flags - end, "%s ", word);
        }
    }
}

/* Page sizes are no sums, and the size is the guest's mapping's own. */
static bool is_sum(const char *name)
{
    return strcmp(name, "Size") != 0 && !strstr(name, "PageSize");
}

static struct smaps_sum *read_smaps(const struct user_mapping *m, size_t count)
{
    struct smaps_sum *sums = mem_alloc((count + 1) * sizeof *sums);
    struct smaps_sum *now = &sums[count]; /* that of what is not the guest's */
    FILE *file = fopen("/proc/thread-self/smaps", "re");
    char *line = NULL;
    size_t room = 0, i = 0;

    if (file) {
        setvbuf(file, NULL, _IOFBF, 1 << 16);
    }
    while (file && getline(&line, &room, file) > 0) {
        uint64_t start, end, kib;
        char name[32];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
            while (i < count && m[i].end <= start) {
                i++;
            }
            now = i < count && m[i].start < end ? &sums[i] : &sums[count];
        } else if (sscanf(line, "%31[^:]: %" SCNu64, name, &kib) == 2 && strstr(line, " kB") &&
                   is_sum(name)) {
            add_field(now, name, kib);
        } else if (!strncmp(line, "THPeligible:", 12)) {
            now->huge = now->huge || strchr(line, '1');
        } else if (!strncmp(line, "VmFlags:", 8)) {
            take_flags(now, line + 8);
        }
    }
    free(line);
    if (file) {
        fclose(file);
    }
    return sums;
}

static void add_sums(struct strbuf *s, const struct smaps_sum *sum)
{
    for (unsigned i = 0; i < sum->fields; i++) {
        int pad = 16 - (int)strlen(sum->field[i].name) - 1;
        strbuf_printf(s, "%s:%*s%8" PRIu64 " kB\n", sum->field[i].name, pad > 0 ? pad : 1, "",
                      sum->field[i].kib);
    }
}

static void write_smaps(struct user *user, struct strbuf *s)
{
    size_t count;
    struct user_mapping *m = snapshot(user, &count);
    struct smaps_sum *sums = read_smaps(m, count);

    for (size_t i = 0; i < count; i++) {
        add_mapping(s, &m[i], name_of(&m[i]));
        strbuf_printf(s,
                      "Size:           %8" PRIu64 " kB\nKernelPageSize: %8d kB\n"
                      "MMUPageSize:    %8d kB\n",
                      (m[i].end - m[i].start) / 1024, USER_PAGE / 1024, USER_PAGE / 1024);
        add_sums(s, &sums[i]);
        strbuf_printf(s, "THPeligible:    %8d\nVmFlags: %s%s%s%s\n", sums[i].huge,
                      m[i].prot & PROT_READ ? "rd " : "", m[i].prot & PROT_WRITE ? "wr " : "",
                      m[i].prot & PROT_EXEC ? "ex " : "", sums[i].flags);
    }
    free(sums);
    snapshot_free(user, m, count);
}

static void write_smaps_rollup(struct user *user, struct strbuf *s)
{
    size_t count;
    struct user_mapping *m = snapshot(user, &count);
    struct smaps_sum *sums = read_smaps(m, count), total = {.fields = 0};

    for (size_t i = 0; i < count; i++) {
        for (unsigned f = 0; f < sums[i].fields; f++) {
            add_field(&total, sums[i].field[f].name, sums[i].field[f].kib);
        }
    }
    struct user_mapping whole = {.start = count ? m[0].start : 0,
                                 .end = count ? m[count - 1].end : 0};
    add_mapping(s, &whole, "[rollup]");
    add_sums(s, &total);
    free(sums);
    snapshot_free(user, m, count);
}

static void write_cmdline(struct user *user, struct strbuf *s)
{
    const struct user_image *image = &user->image;

    strbuf_add(s, (const void *)(uintptr_t)image->arg_start, image->arg_end - image->arg_start);
}

static void write_environ(struct user *user, struct strbuf *s)
{
    const struct user_image *image = &user->image;

    strbuf_add(s, (const void *)(uintptr_t)image->env_start, image->env_end - image->env_start);
}

static void write_auxv(struct user *user, struct strbuf *s)
{
    strbuf_add(s, user->image.auxv, user->image.auxv_count * sizeof *user->image.auxv);
}

/* --- the start --- */

void user_proc_begin(struct user *user)
{
    const char *name = strrchr(user->options.program, '/');

    prctl(PR_SET_NAME, name ? name + 1 : user->options.program);
    user->proc_told = tell_kernel(user);
    if (log_item_on(LOG_PAGE)) {
        struct strbuf text;
        strbuf_init(&text);
        write_maps(user, &text);
        log_text(text.data, text.len);
        strbuf_free(&text);
    }
}

/* --- which paths --- */

/* clang-format off */
static const struct file {
    const char *name;
    void (*write)(struct user *user, struct strbuf *s); /* NULL: a link to the program */
    bool unless_told; /* only where the kernel was not told */
} files[] = {
    {"exe",          NULL,               false},
    {"maps",         write_maps,         false},
    {"smaps",        write_smaps,        false},
    {"smaps_rollup", write_smaps_rollup, false},
    {"cmdline",      write_cmdline,      true},
    {"environ",      write_environ,      true},
    {"auxv",         write_auxv,         true},
};
/* clang-format on */

static const struct file *file_called(const char *name)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!strcmp(files[i].name, name)) {
            return &files[i];
        }
    }
    return NULL;
}

/* The folder that a relative path begins at. */
static bool folder_of(int dirfd, char *to, size_t size)
{
    char link[64];

    if (dirfd == AT_FDCWD) {
        return getcwd(to, size) != NULL;
    }
    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", dirfd);
    ssize_t len = readlink(link, to, size - 1);
    to[len > 0 ? len : 0] = 0;
    return len > 0;
}

/* Joins and straightens: no "//", no ".", no "..", as far as text can tell. */
static bool straighten(int dirfd, const char *path, char *to)
{
    size_t len = 0;

    if (path[0] != '/') {
        if (!folder_of(dirfd, to, PATH_ROOM) || to[0] != '/') {
            return false;
        }
        len = strlen(to);
    }
    while (*path) {
        size_t part = strcspn(path, "/");
        if (part == 2 && path[0] == '.' && path[1] == '.') {
            while (len && to[--len] != '/') {
            }
        } else if (part && !(part == 1 && path[0] == '.')) {
            if (len + part + 2 > PATH_ROOM) {
                return false;
            }
            to[len++] = '/';
            memcpy(to + len, path, part);
            len += part;
        }
        path += part + (path[part] == '/');
    }
    to[len] = 0;
    return true;
}

/* True if the text up to the next slash is a thread of ours, `id`; moves behind the slash. */
static bool take_thread(const char **at, pid_t *id)
{
    char *end, link[64];
    unsigned long number = strtoul(*at, &end, 10);

    if (end == *at || *end != '/') {
        return false;
    }
    *at = end + 1;
    *id = (pid_t)number;
    if (number == (unsigned long)getpid()) {
        return true;
    }
    snprintf(link, sizeof link, "/proc/self/task/%lu", number);
    return access(link, F_OK) == 0;
}

/* Whether the thread has ended, as the first one may long before the process: the kernel has
 * nothing to tell of its memory then. */
static bool has_ended(pid_t id)
{
    char link[64], to[1];

    snprintf(link, sizeof link, "/proc/self/task/%d/exe", (int)id);
    return readlink(link, to, sizeof to) < 0;
}

static bool take_word(const char **at, const char *word)
{
    size_t len = strlen(word);

    if (strncmp(*at, word, len)) {
        return false;
    }
    *at += len;
    return true;
}

/* The file of ours that a path means, or NULL. Most paths are told apart by their last part. */
static const struct file *find(struct user *user, int dirfd, const char *path)
{
    const char *last = strrchr(path, '/');
    const struct file *file = file_called(last ? last + 1 : path);
    char whole[PATH_ROOM];

    if (!file || (file->unless_told && user->proc_told) || !straighten(dirfd, path, whole)) {
        return NULL;
    }
    const char *at = whole;
    pid_t id = getpid();
    if (!take_word(&at, "/proc/")) {
        return NULL;
    }
    if (take_word(&at, "thread-self/")) {
        id = gettid();
    } else if (!take_word(&at, "self/") && !take_thread(&at, &id)) {
        return NULL;
    }
    if (take_word(&at, "task/") && !take_thread(&at, &id)) {
        return NULL;
    }
    return !strcmp(at, file->name) && !has_ended(id) ? file : NULL;
}

/* --- system calls --- */

static int64_t open_text(struct user *user, const struct file *file, int flags)
{
    struct strbuf text;
    char link[64];
    int fd = memfd_create(file->name, MFD_CLOEXEC), result = -1;

    if (fd < 0) {
        return -errno;
    }
    strbuf_init(&text);
    file->write(user, &text);
    if (write(fd, text.data, text.len) == (ssize_t)text.len) {
        snprintf(link, sizeof link, "/proc/thread-self/fd/%d", fd);
        result = open(link, O_RDONLY | (flags & (O_CLOEXEC | O_NONBLOCK)));
    }
    result = result < 0 ? -errno : result;
    close(fd);
    strbuf_free(&text);
    return result;
}

int64_t user_proc_open(struct user *user, int dirfd, const char *path, int flags, unsigned mode)
{
    const struct file *file = find(user, dirfd, path);

    (void)mode; /* they all exist */
    if (!file) {
        return USER_NOT_MINE;
    }
    if (flags & O_DIRECTORY) {
        return -ENOTDIR;
    }
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        return -EEXIST;
    }
    if (!file->write) {
        if (flags & O_NOFOLLOW && !(flags & O_PATH)) {
            return -ELOOP;
        }
        if (flags & O_NOFOLLOW) {
            return USER_NOT_MINE; /* the link itself */
        }
        int fd = open(user_proc_path(user, dirfd, path), flags & ~O_CREAT);
        return fd < 0 ? -errno : fd;
    }
    if (flags & O_PATH) {
        return USER_NOT_MINE; /* a place, not a text */
    }
    return (flags & O_ACCMODE) != O_RDONLY ? -EACCES : open_text(user, file, flags);
}

int64_t user_proc_readlink(struct user *user, int dirfd, const char *path, char *buffer,
                           uint64_t size)
{
    const struct file *file = find(user, dirfd, path);
    const char *target = user->image.path;

    if (!file || file->write || !target) {
        return USER_NOT_MINE;
    }
    if ((int)size <= 0) {
        return -EINVAL;
    }
    size = size < strlen(target) ? size : strlen(target);
    memcpy(buffer, target, size);
    return (int64_t)size;
}

const char *user_proc_path(struct user *user, int dirfd, const char *path)
{
    static char link[64]; /* the same text each time */
    const struct file *file = find(user, dirfd, path);

    if (!file || file->write || !user->image.path) {
        return NULL;
    }
    if (access(user->image.path, F_OK) == 0 || user->image.exe_fd < 0) {
        return user->image.path;
    }
    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", user->image.exe_fd); /* removed */
    return link;
}
