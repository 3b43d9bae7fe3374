/* SPDX-License-Identifier: MIT
 *
 * What a program reads of itself is about itself: /proc/self/exe, maps, cmdline, comm, auxv, by
 * every spelling of the path, and also after a mapping changed. Starts itself again to see
 * arguments. */
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "expect.h"

static char own_path[PATH_MAX];

static size_t contents(const char *path, char *to, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    EXPECT_THAT(fd >= 0, "%s: %s", path, strerror(errno));
    size_t length = 0;
    ssize_t n;
    while (fd >= 0 && length + 1 < size && (n = read(fd, to + length, size - 1 - length)) > 0) {
        length += (size_t)n;
    }
    close(fd);
    to[length] = 0;
    return length;
}

struct region {
    uint64_t start, end, offset;
    char protection[5], name[300];
};

/* The line of maps that covers the address. */
static bool region_of(const void *address, struct region *r)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[600];
    bool found = false;
    EXPECT_OR_END(maps);
    while (!found && fgets(line, sizeof line, maps)) {
        unsigned long long start, end, offset;
        r->name[0] = 0;
        int n = sscanf(line, "%llx-%llx %4s %llx %*s %*s %299[^\n]", &start, &end, r->protection,
                       &offset, r->name);
        EXPECT_THAT(n >= 4, "a line of maps: %s", line);
        r->start = start, r->end = end, r->offset = offset;
        found = n >= 4 && (uintptr_t)address >= start && (uintptr_t)address < end;
    }
    fclose(maps);
    return found;
}

static void exe(const char *argv0)
{
    static const char *const paths[] = {"/proc/self/exe", "/proc/thread-self/exe",
                                        "/proc/self/../self/exe", "//proc//self//exe"};
    char link[PATH_MAX], by_number[64], expected[PATH_MAX];
    EXPECT_OR_END(realpath(argv0, expected));
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        ssize_t n = readlink(paths[i], link, sizeof link - 1);
        EXPECT_OR_END(n > 0);
        link[n] = 0;
        EXPECT_THAT(!strcmp(link, expected), "%s is %s, expected %s", paths[i], link, expected);
    }
    snprintf(by_number, sizeof by_number, "/proc/%d/exe", getpid());
    ssize_t n = readlink(by_number, link, sizeof link - 1);
    EXPECT(n == (ssize_t)strlen(expected) && !memcmp(link, expected, (size_t)n));
    EXPECT(readlink("/proc/self/exe", link, 4) == 4 && !memcmp(link, expected, 4));
    int folder = open("/proc/self", O_RDONLY | O_DIRECTORY);
    n = readlinkat(folder, "exe", link, sizeof link - 1);
    EXPECT(n == (ssize_t)strlen(expected) && !memcmp(link, expected, (size_t)n));
    close(folder);
    /* Opened and asked for, it is the program's file. */
    struct stat by_path, by_link;
    EXPECT(stat(expected, &by_path) == 0 && stat("/proc/self/exe", &by_link) == 0);
    EXPECT(by_path.st_ino == by_link.st_ino && by_path.st_dev == by_link.st_dev);
    int fd = open("/proc/self/exe", O_RDONLY);
    EXPECT(fd >= 0 && fstat(fd, &by_link) == 0 && by_path.st_ino == by_link.st_ino);
    Elf64_Ehdr header;
    EXPECT(read(fd, &header, sizeof header) == (ssize_t)sizeof header);
    EXPECT(header.e_phnum == getauxval(AT_PHNUM));
    close(fd);
    strcpy(own_path, expected);
}

static void maps(void)
{
    struct region r;
    static int in_data;
    EXPECT(region_of((const void *)(uintptr_t)maps, &r));
    EXPECT_THAT(!strcmp(r.name, own_path), "own code is in %s", r.name);
    EXPECT_THAT(!strcmp(r.protection, "r-xp"), "own code is %s", r.protection);
    EXPECT(region_of(&in_data, &r) && !strcmp(r.protection, "rw-p"));
    EXPECT(region_of(&r, &r));
    EXPECT_THAT(!strcmp(r.name, "[stack]") && !strncmp(r.protection, "rw", 2), "the stack is %s %s",
                r.name, r.protection);
    EXPECT(region_of((const void *)(uintptr_t)write, &r));
    EXPECT_THAT(strstr(r.name, "libc"), "libc is in %s", r.name);
    void *heap = sbrk(0);
    if (region_of((uint8_t *)heap - 1, &r)) {
        EXPECT_THAT(!strcmp(r.name, "[heap]"), "the heap is %s", r.name);
    }
    if (getauxval(AT_SYSINFO_EHDR)) {
        EXPECT(region_of((void *)getauxval(AT_SYSINFO_EHDR), &r) && !strcmp(r.name, "[vdso]"));
    }

    /* As mappings come, change and go. */
    uint8_t *p = mmap(NULL, 5 * EXPECT_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_OR_END(p != MAP_FAILED);
    memcpy(p, "\xb8\x05\0\0\0\xc3", 6);
    EXPECT_SAME(((int (*)(void))(uintptr_t)p)(), 5);
    EXPECT(region_of(p, &r));
    EXPECT_THAT(!strcmp(r.protection, "rwxp"), "rwx is shown as %s", r.protection);
    EXPECT(mprotect(p + EXPECT_PAGE, EXPECT_PAGE, PROT_READ) == 0);
    EXPECT(region_of(p + EXPECT_PAGE, &r) && !strcmp(r.protection, "r--p"));
    EXPECT(r.start == (uintptr_t)p + EXPECT_PAGE && r.end == (uintptr_t)p + 2 * EXPECT_PAGE);
    munmap(p + 2 * EXPECT_PAGE, EXPECT_PAGE);
    EXPECT(!region_of(p + 2 * EXPECT_PAGE, &r));
    munmap(p, 5 * EXPECT_PAGE);
    EXPECT(!region_of(p, &r));
    int fd = open(own_path, O_RDONLY);
    uint8_t *file = mmap(NULL, EXPECT_PAGE, PROT_READ, MAP_SHARED, fd, 0);
    EXPECT(region_of(file, &r) && !strcmp(r.protection, "r--s") && !strcmp(r.name, own_path));
    close(fd);
    munmap(file, EXPECT_PAGE);
}

/* The list is sorted, in one piece, and names nobody who is not the program's. */
static void maps_whole(void)
{
    static char text[1 << 20], again[1 << 20];
    contents("/proc/self/maps", text, sizeof text);
    EXPECT(!strstr(text, "vitrine") || strstr(own_path, "vitrine"));
    uint64_t last = 0;
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long long start, end;
        EXPECT(sscanf(line, "%llx-%llx", &start, &end) == 2);
        EXPECT(start >= last && end > start);
        last = end;
        lines++;
    }
    EXPECT(lines > 10);
    /* Byte by byte it is the same text as at once, and lseek works. */
    size_t length = contents("/proc/self/maps", text, sizeof text);
    int fd = open("/proc/thread-self/maps", O_RDONLY);
    for (size_t i = 0; i < length; i++) {
        EXPECT_OR_END(read(fd, again + i, 1) == 1);
    }
    EXPECT(!memcmp(text, again, length));
    EXPECT(lseek(fd, 0, SEEK_SET) == 0 && read(fd, again, 16) == 16 && !memcmp(text, again, 16));
    close(fd);
}

/* What smaps calls the rights and flags of the mapping at `memory`. */
static void expect_flags(const void *memory, const char *expected)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    EXPECT_OR_END(file);
    char line[8192], *space;
    bool here = false, found = false;
    while (fgets(line, sizeof line, file)) {
        unsigned long start = strtoul(line, &space, 16);
        here = *space == '-' ? start == (unsigned long)memory : here;
        if (here && !strncmp(line, "VmFlags: ", 9)) {
            found = true;
            EXPECT_THAT(!strncmp(line + 9, expected, strlen(expected)), "%s, expected %s", line,
                        expected);
        }
    }
    EXPECT(found);
    fclose(file);
}

/* A page with code that was executed is as it was asked for. */
static void flags_of_mappings(void)
{
    static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
    uint8_t *page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_OR_END(page != MAP_FAILED);
    mprotect(page, 4096, PROT_NONE); /* alone, whatever lies beside */
    mprotect(page + 2 * 4096, 4096, PROT_NONE);
    page += 4096;
    memcpy(page, code, sizeof code);
    EXPECT_SAME(((int (*)(void))page)(), 42);
    expect_flags(page, "rd wr ex mr mw me ");
    /* Advice that writes: MADV_POPULATE_WRITE, since Linux 5.14. */
    EXPECT(madvise(page, 4096, 23) == 0 || madvise(NULL, 0, 23) < 0);
    EXPECT_SAME(((int (*)(void))page)(), 42);
    EXPECT(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
    expect_flags(page, "rd ex mr mw me ");
    EXPECT(madvise(page, 4096, MADV_DONTDUMP) == 0);
    expect_flags(page, "rd ex mr mw me ac dd ");
    EXPECT(munmap(page - 4096, 3 * 4096) == 0);
}

static void vectors(char **argv)
{
    static char text[1 << 16];
    size_t length = contents("/proc/self/auxv", text, sizeof text);
    for (size_t i = 0; i + 16 <= length; i += 16) {
        uint64_t pair[2];
        memcpy(pair, text + i, 16);
        if (pair[0] != AT_NULL && pair[0] != AT_HWCAP && pair[0] != AT_HWCAP2) {
            EXPECT_SAME(getauxval(pair[0]), pair[1]); /* libc has its own idea of HWCAP */
        }
    }
    EXPECT(!strcmp((const char *)getauxval(AT_EXECFN), argv[0]));
    EXPECT(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_CLKTCK) == 100);
    EXPECT(getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid());
    EXPECT(getauxval(AT_SECURE) == 0 && getauxval(AT_RANDOM));
    const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR);
    uintptr_t base = 0, entry = 0;
    for (size_t i = 0; i < getauxval(AT_PHNUM); i++) {
        if (headers[i].p_type == PT_PHDR) {
            base = (uintptr_t)headers - headers[i].p_vaddr;
        }
    }
    int fd = open("/proc/self/exe", O_RDONLY);
    Elf64_Ehdr header;
    EXPECT(read(fd, &header, sizeof header) == (ssize_t)sizeof header);
    close(fd);
    entry = base + header.e_entry;
    EXPECT_SAME(getauxval(AT_ENTRY), entry);

    length = contents("/proc/self/comm", text, sizeof text);
    EXPECT_THAT(!strncmp(text, strrchr(own_path, '/') + 1, 8), "comm is %s", text);
    length = contents("/proc/self/stat", text, sizeof text);
    EXPECT(length > 50 && atoi(text) == getpid());
}

/* In the child: the command line is the one it was started with. */
static int second(int argc, char **argv)
{
    static char text[4096];
    size_t length = contents("/proc/self/cmdline", text, sizeof text), at = 0;
    for (int i = 0; i < argc; i++) {
        EXPECT_THAT(!strcmp(text + at, argv[i]), "argument %d is %s, expected %s", i, text + at,
                    argv[i]);
        at += strlen(argv[i]) + 1;
    }
    EXPECT_SAME(length, at);
    length = contents("/proc/self/environ", text, sizeof text);
    EXPECT(length == 6 && !memcmp(text, "A=b c", 6));
    EXPECT(getenv("A") && !strcmp(getenv("A"), "b c") && !getenv("PATH"));
    return expect_done();
}

int main(int argc, char **argv)
{
    alarm(60);
    if (argc > 1) {
        return second(argc, argv);
    }
    exe(argv[0]);
    maps();
    maps_whole();
    flags_of_mappings();
    vectors(argv);
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = {"own name", "", "a b", "-x", "\xff\x01", NULL},
             *environment[] = {"A=b c", NULL};
        execve("/proc/self/exe", arguments, environment);
        _exit(127);
    }
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT_SAME(status, 0);
    return expect_done();
}
