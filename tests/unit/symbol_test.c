/* SPDX-License-Identifier: MIT
 *
 * Symbols: this very program and its libraries, looked up by address and by name; mappings that
 * come and go against a model of single pages; damaged files; several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/symbol.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int symbol_test_object[4] = {1, 2, 3, 4};
int __attribute__((noinline)) symbol_test_function(int x);
int __attribute__((noinline)) symbol_test_function(int x)
{
    return x * symbol_test_object[1] + 7;
}
extern int symbol_test_alias(int x) __attribute__((alias("symbol_test_function")));

/* Reads /proc/self/maps into a space; `what`: which permissions, NULL: all. */
static void add_own(struct symbol_space *space, const char *what)
{
    char line[4096], permissions[8], path[4000];
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        uint64_t start, end, offset;
        int got = sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %3999s", &start,
                         &end, permissions, &offset, path);
        if (got == 5 && (!what || strstr(permissions, what))) {
            symbol_module_add(space, path, start, end, offset);
        }
    }
    fclose(maps);
}

static uint64_t address_of(const void *function)
{
    return (uint64_t)(uintptr_t)function;
}

static void test_own_functions(void **state)
{
    struct symbol_space *space = symbol_space_new(NULL);
    struct symbol_info info;
    uint64_t here = address_of((const void *)symbol_test_function);
    (void)state;
    assert_false(symbol_find(space, here, &info));
    add_own(space, "x");
    assert_true(symbol_find(space, here, &info));
    assert_true(!strcmp(info.symbol, "symbol_test_function") ||
                !strcmp(info.symbol, "symbol_test_alias"));
    assert_int_equal(info.offset, 0);
    assert_int_equal(info.symbol_start, here);
    assert_true(info.symbol_size > 4 && info.symbol_size < 4096);
    assert_non_null(strstr(info.path, info.module));
    assert_null(strchr(info.module, '/'));
    assert_null(info.file);

    assert_true(symbol_find_line(space, here + 1, &info));
    assert_int_equal(info.offset, 1);
    assert_non_null(info.file);
    assert_non_null(strstr(info.file, "symbol_test.c"));
    assert_in_range(info.line, 30, 50);

    /* What shares code with another name has the shorter of them. */
    assert_string_equal(info.symbol, "symbol_test_alias");
    assert_false(symbol_find(space, 1, &info));
    assert_null(info.module);
    symbol_space_free(space);
}

static void test_libraries(void **state)
{
    struct symbol_space *space = symbol_space_new(NULL);
    struct symbol_info info;
    struct symbol_range *range;
    Dl_info judge;
    (void)state;
    add_own(space, NULL);
    void *function = dlsym(RTLD_DEFAULT, "lfind");
    assert_non_null(function);
    assert_int_not_equal(dladdr(function, &judge), 0);
    assert_true(symbol_find(space, address_of(function), &info));
    assert_string_equal(info.symbol, "lfind");
    assert_string_equal(info.module, "libc.so.6");
    assert_int_equal(info.module_address, address_of(function) - address_of(judge.dli_fbase));

    assert_int_equal(symbol_address(space, "libc.so*!lfind", &range), 1);
    assert_int_equal(range[0].start, address_of(function));
    assert_int_equal(range[0].end, range[0].start + info.symbol_size);
    free(range);
    assert_int_equal(symbol_address(space, "libm.so*!lfind", &range), 0);
    free(range);

    /* Objects, where their mapping is known. */
    assert_true(symbol_find(space, address_of(&symbol_test_object[2]), &info));
    assert_string_equal(info.symbol, "symbol_test_object");
    assert_int_equal(info.offset, 2 * sizeof(int));
    symbol_space_free(space);
}

static void test_names(void **state)
{
    struct symbol_space *space = symbol_space_new(NULL);
    struct symbol_range *one, *other;
    uint64_t here = address_of((const void *)symbol_test_function);
    (void)state;
    add_own(space, "x");
    /* All names of a place count. */
    static const char *const names[] = {"symbol_test_function", "symbol_test_alias",
                                        "symbol_test_func*", "*!symbol_test_ali?s"};
    for (unsigned i = 0; i < COUNT(names); i++) {
        assert_int_equal(symbol_address(space, names[i], &one), 1);
        assert_int_equal(one[0].start, here);
        free(one);
    }
    assert_int_equal(symbol_address(space, "symbol_test_nothing", &one), 0);
    free(one);

    /* A whole module, by name and by path. */
    struct symbol_info info;
    assert_true(symbol_find(space, here, &info));
    assert_int_equal(symbol_ranges(space, info.module, NULL, &one), 1);
    assert_int_equal(symbol_ranges(space, info.path, NULL, &other), 1);
    assert_int_equal(one[0].start, other[0].start);
    assert_true(one[0].start <= here && here < one[0].end);
    free(one);
    free(other);

    /* Ranges ascend and do not touch. */
    size_t count = symbol_ranges(space, "libc.so.6", "str*", &one);
    assert_true(count > 10);
    for (size_t i = 0; i < count; i++) {
        assert_true(one[i].start < one[i].end);
        assert_true(!i || one[i - 1].end < one[i].start);
    }
    free(one);

    count = symbol_address(space, "lfind@plt", &one);
    assert_true(count >= 1);
    assert_true(symbol_find(space, one[0].start + 4, &info));
    assert_string_equal(info.symbol, "lfind@plt");
    free(one);
    symbol_space_free(space);
    size_t none = 0;
    assert_null(lfind(&here, &here, &none, sizeof here, NULL));
}

static void format(struct symbol_space *space, uint64_t address, unsigned style,
                   const char *expected)
{
    struct strbuf text;
    strbuf_init(&text);
    assert_int_equal(symbol_format(space, address, style, &text), *expected != 0);
    assert_string_equal(text.data, expected);
    strbuf_free(&text);
}

static void test_format(void **state)
{
    struct symbol_space *space = symbol_space_new(NULL);
    uint64_t lfind_at = address_of(dlsym(RTLD_DEFAULT, "lfind"));
    (void)state;
    add_own(space, "x");
    format(space, lfind_at, SYMBOL_FULL, "libc.so.6!lfind");
    format(space, lfind_at + 18, SYMBOL_FULL, "libc.so.6!lfind+0x12");
    format(space, lfind_at + 18, SYMBOL_OFFSET, "lfind+0x12");
    format(space, lfind_at + 18, 0, "lfind");
    symbol_module_add(space, "/none/at/all.so", 0x1000, 0x3000, 0x4000);
    format(space, 0x1010, SYMBOL_FULL, "all.so+0x4010");
    format(space, 0x1010, SYMBOL_OFFSET, "");
    format(space, 0x3000, SYMBOL_FULL, "");
    symbol_space_free(space);
}

static void test_vdso(void **state)
{
    const uint8_t *vdso = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
    struct symbol_space *space = symbol_space_new(NULL);
    struct symbol_range *range;
    struct symbol_info info;
    (void)state;
    assert_non_null(vdso); /* vdso=0 is not among the kernels that we run on */
    symbol_module_add_image(space, "[vdso]", 0x10000, vdso, 4096);
    assert_true(symbol_find(space, 0x10000, &info));
    assert_string_equal(info.module, "[vdso]");
    /* Sections are at the end of the image, which this one lacks; no harm done. */
    assert_int_equal(symbol_address(space, "__vdso_getcpu", &range), 0);
    free(range);
    symbol_module_add_image(space, "[vdso]", 0x10000, vdso, 8192);
    assert_int_equal(symbol_address(space, "__vdso_getcpu", &range), 1);
    assert_true(symbol_find(space, range[0].start, &info));
    assert_string_equal(info.module, "[vdso]");
    assert_true(range[0].start > 0x10000 && range[0].end < 0x12000);
    free(range);
    symbol_space_free(space);
}

/* --- mappings against a model --- */

static uint64_t seed = 0x2545f4914f6cdd1d;

static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % below;
}

enum { PAGE = 4096, PAGES = 48, NAMES = 5 };

struct page {
    int name; /* -1: nothing there */
    uint64_t offset;
};

static void check_pages(struct symbol_space *space, const struct page *page)
{
    for (unsigned i = 0; i < PAGES; i++) {
        struct symbol_info info;
        uint64_t address = (uint64_t)i * PAGE + chance(PAGE);
        bool found = symbol_find(space, address, &info);
        assert_int_equal(found, page[i].name >= 0);
        if (found) {
            assert_int_equal(info.module[0], 'a' + page[i].name);
            assert_int_equal(info.module_address, page[i].offset + address % PAGE);
        }
    }
}

static void test_mappings(void **state)
{
    struct symbol_space *space = symbol_space_new(NULL);
    struct page page[2 * PAGES];
    uint64_t generation = symbol_generation(space);
    (void)state;
    memset(page, 0xff, sizeof page);
    for (unsigned round = 0; round < 4000; round++) {
        unsigned start = (unsigned)chance(PAGES), count = 1 + (unsigned)chance(PAGES - start);
        unsigned what = (unsigned)chance(8);
        if (what < 4) {
            int name = (int)chance(NAMES);
            char path[] = {'/', 'n', 'o', 'n', 'e', '/', (char)('a' + name), 0};
            uint64_t offset = chance(16) * PAGE;
            symbol_module_add(space, path, (uint64_t)start * PAGE, (uint64_t)(start + count) * PAGE,
                              offset);
            for (unsigned i = 0; i < count; i++) {
                page[start + i] = (struct page){name, offset + (uint64_t)i * PAGE};
            }
        } else if (what < 6) {
            symbol_module_remove(space, (uint64_t)start * PAGE, (uint64_t)(start + count) * PAGE);
            memset(&page[start], 0xff, count * sizeof *page);
        } else if (what == 6) {
            unsigned to = (unsigned)chance(PAGES - count + 1);
            struct page moved[PAGES];
            memcpy(moved, &page[start], count * sizeof *page);
            memset(&page[start], 0xff, count * sizeof *page);
            memcpy(&page[to], moved, count * sizeof *page);
            symbol_module_move(space, (uint64_t)start * PAGE, (uint64_t)to * PAGE,
                               (uint64_t)count * PAGE);
        } else if (chance(50) == 0) {
            symbol_space_clear(space);
            memset(page, 0xff, sizeof page);
        }
        check_pages(space, page);
    }
    assert_true(symbol_generation(space) > generation + 2000);
    symbol_space_free(space);
}

static void test_odd_ranges(void **state)
{
    struct symbol_space *space = symbol_space_new(NULL);
    struct symbol_info info;
    (void)state;
    symbol_module_add(space, "/none/a", 0x2000, 0x2000, 0);
    symbol_module_add(space, "/none/a", 0x3000, 0x2000, 0);
    symbol_module_add_image(space, "[x]", UINT64_MAX - 2, "abcdefgh", 8);
    assert_false(symbol_find(space, 0x2000, &info));
    symbol_module_add(space, "/none/high", UINT64_MAX - 4095, UINT64_MAX, UINT64_MAX - 10);
    assert_true(symbol_find(space, UINT64_MAX - 1, &info));
    assert_false(symbol_find(space, UINT64_MAX, &info));
    symbol_module_add(space, "", 0x1000, 0x2000, 0);
    assert_true(symbol_find(space, 0x1000, &info));
    assert_string_equal(info.module, "");
    symbol_module_move(space, 0x1000, UINT64_MAX - 5, 0x1000);
    symbol_module_remove(space, 0x5000, 0x1000);
    symbol_module_remove(space, 0, UINT64_MAX);
    assert_false(symbol_find(space, 0x1000, &info));
    for (unsigned i = 0; i < SYMBOL_MODULES_MAX + 10; i++) {
        char path[32];
        snprintf(path, sizeof path, "/none/%u", i);
        symbol_module_add(space, path, 0x10000 + i * 16, 0x10000 + i * 16 + 16, 0);
    }
    assert_true(symbol_find(space, 0x10000, &info));
    assert_false(symbol_find(space, 0x10000 + (SYMBOL_MODULES_MAX + 5) * 16, &info));
    symbol_space_free(space);
}

/* --- files --- */

static uint8_t *read_self(size_t *size)
{
    FILE *file = fopen("/proc/self/exe", "r");
    assert_non_null(file);
    struct stat status;
    assert_int_equal(fstat(fileno(file), &status), 0);
    *size = (size_t)status.st_size;
    uint8_t *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

/* Any bytes in any place of the headers and tables: a name or none, and the end of the test. */
static void test_damage(void **state)
{
    size_t size;
    uint8_t *good = read_self(&size), *bad = malloc(size);
    const char *length = getenv("VITRINE_CHECK");
    unsigned rounds = length && !strcmp(length, "long") ? 2000 : 60;
    (void)state;
    char path[] = "/tmp/symbol-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_non_null(bad);
    Elf64_Ehdr head;
    memcpy(&head, good, sizeof head);
    for (unsigned round = 0; round < rounds; round++) {
        memcpy(bad, good, size);
        for (unsigned i = 0; i < 1 + round % 7; i++) {
            size_t tables = head.e_shoff + (size_t)head.e_shnum * sizeof(Elf64_Shdr);
            size_t at = chance(3) == 0   ? chance(1024)
                        : chance(2) == 0 ? head.e_shoff + chance(tables - head.e_shoff)
                                         : chance(size);
            bad[at < size ? at : 0] = (uint8_t)chance(256);
        }
        struct symbol_space *space = symbol_space_new(NULL);
        size_t kept = chance(4) ? size : chance(size) + 1;
        bool is_file = round % 2;
        if (is_file) {
            write_file(path, bad, kept);
            symbol_module_add(space, path, 0x100000, 0x100000 + kept, 0);
        } else {
            symbol_module_add_image(space, "[bad]", 0x100000, bad, kept);
        }
        struct symbol_info info;
        for (unsigned i = 0; i < 20; i++) {
            uint64_t address = 0x100000 + chance(kept);
            assert_true(symbol_find_line(space, address, &info));
            assert_string_equal(info.module, is_file ? strrchr(path, '/') + 1 : "[bad]");
            assert_true(!info.symbol || strlen(info.symbol) <= SYMBOL_NAME_MAX);
        }
        struct symbol_range *range;
        symbol_address(space, "*", &range);
        free(range);
        symbol_space_free(space);
    }
    unlink(path);
    free(good);
    free(bad);
}

static unsigned opened;

static int count_open(void *opaque, const char *path)
{
    assert_ptr_equal(opaque, &opened);
    opened++;
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* A file that is replaced is read anew, and the names of the old one stay. */
static void test_replaced_file(void **state)
{
    char path[] = "/tmp/symbol-test-XXXXXX";
    size_t size;
    uint8_t *bytes = read_self(&size);
    const struct symbol_files files = {count_open, &opened};
    struct symbol_space *space = symbol_space_new(&files);
    struct symbol_info before, after;
    struct symbol_range *range;
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);

    symbol_module_add(space, path, 0x1000000, 0x1001000, 0);
    assert_int_equal(opened, 0);
    assert_int_equal(symbol_address(space, "symbol_test_object", &range), 0); /* not in that page */
    free(range);
    assert_true(opened >= 1);
    assert_true(symbol_find(space, 0x1000000, &before));

    assert_int_equal(unlink(path), 0);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "no ELF", 6), 6);
    close(fd);
    symbol_module_add(space, path, 0x1000000, 0x1001000, 0);
    assert_true(symbol_find(space, 0x1000000, &after));
    assert_null(after.symbol);
    assert_string_equal(before.path, after.path);
    unlink(path);
    free(bytes);
    symbol_space_free(space);

    /* None of the descriptors is left. */
    int next = open("/dev/null", O_RDONLY);
    assert_true(next >= 0 && next < 32);
    close(next);
}

/* --- threads --- */

static void *look(void *opaque)
{
    struct symbol_space *space = opaque;
    uint64_t here = address_of((const void *)symbol_test_function);
    unsigned named = 0;
    for (unsigned i = 0; i < 20000; i++) {
        struct symbol_info info;
        if (symbol_find(space, here + i % 3, &info)) {
            named += info.symbol && !strncmp(info.symbol, "symbol_test", 11);
        }
    }
    return (void *)(uintptr_t)named;
}

static void test_threads(void **state)
{
    struct symbol_space *space = symbol_space_new(NULL);
    uint64_t here = address_of((const void *)symbol_test_function);
    pthread_t thread[3];
    (void)state;
    add_own(space, "x");
    for (unsigned i = 0; i < COUNT(thread); i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, look, space), 0);
    }
    for (unsigned i = 0; i < 500; i++) {
        symbol_module_add(space, "/none/x", 0x1000, 0x2000, 0);
        symbol_module_remove(space, 0x1000, 0x2000);
        symbol_fork_prepare(space);
        symbol_fork_done(space);
    }
    for (unsigned i = 0; i < COUNT(thread); i++) {
        void *named;
        assert_int_equal(pthread_join(thread[i], &named), 0);
        assert_int_equal((uintptr_t)named, 20000);
    }
    struct symbol_info info;
    assert_true(symbol_find(space, here, &info));
    symbol_space_free(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_functions), cmocka_unit_test(test_libraries),
        cmocka_unit_test(test_names),         cmocka_unit_test(test_format),
        cmocka_unit_test(test_vdso),          cmocka_unit_test(test_mappings),
        cmocka_unit_test(test_odd_ranges),    cmocka_unit_test(test_damage),
        cmocka_unit_test(test_replaced_file), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
