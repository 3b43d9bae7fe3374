/* SPDX-License-Identifier: MIT
 *
 * Programs: headers that lie, scripts, and what a loaded program finds. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "user/elf.h"
#include "user/internal.h"
#include "user/loader.h"

/* --- ELF headers --- */

enum { FILE_SIZE = 0x3000, HEADERS = 4 };

/* A small program: code, data with bss, interpreter, stack. */
struct sample {
    Elf64_Ehdr head;
    Elf64_Phdr header[HEADERS];
    char interpreter[32];
    uint8_t rest[FILE_SIZE - sizeof(Elf64_Ehdr) - HEADERS * sizeof(Elf64_Phdr) - 32];
};

static struct sample sample(void)
{
    struct sample s = {
        .head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1},
                 .e_type = ET_DYN,
                 .e_machine = EM_X86_64,
                 .e_version = 1,
                 .e_entry = 0x1100,
                 .e_phoff = sizeof(Elf64_Ehdr),
                 .e_ehsize = sizeof(Elf64_Ehdr),
                 .e_phentsize = sizeof(Elf64_Phdr),
                 .e_phnum = HEADERS},
        .header = {{.p_type = PT_INTERP,
                    .p_offset = offsetof(struct sample, interpreter),
                    .p_filesz = sizeof s.interpreter,
                    .p_memsz = sizeof s.interpreter},
                   {.p_type = PT_LOAD,
                    .p_flags = PF_R | PF_X,
                    .p_filesz = 0x2000,
                    .p_memsz = 0x2000,
                    .p_align = 0x1000},
                   {.p_type = PT_LOAD,
                    .p_flags = PF_R | PF_W,
                    .p_offset = 0x2010,
                    .p_vaddr = 0x4010,
                    .p_filesz = 0x800,
                    .p_memsz = 0x2800,
                    .p_align = 0x200000},
                   {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W}},
        .interpreter = "/lib64/ld-linux-x86-64.so.2",
    };
    return s;
}

struct bytes {
    const void *at;
    size_t size;
};

static bool read_bytes(void *opaque, uint64_t offset, void *to, size_t size)
{
    const struct bytes *b = opaque;

    if (offset > b->size || size > b->size - offset) {
        return false;
    }
    memcpy(to, (const char *)b->at + offset, size);
    return true;
}

static bool parse(const void *at, size_t size, struct elf_file *elf, struct error *err)
{
    struct bytes b = {at, size};
    const struct elf_source source = {read_bytes, &b, size};

    return elf_parse(&source, elf, err);
}

static void test_good_headers(void **state)
{
    struct sample s = sample();
    struct elf_file elf;
    struct error err;

    (void)state;
    assert_true(parse(&s, sizeof s, &elf, &err));
    assert_true(elf.movable);
    assert_int_equal(elf.segments, 2);
    assert_int_equal(elf.start, 0);
    assert_int_equal(elf.end, 0x7000);
    assert_int_equal(elf.align, 0x200000);
    assert_int_equal(elf.headers, sizeof(Elf64_Ehdr));
    assert_int_equal(elf.header_count, HEADERS);
    assert_false(elf.stack_executable);
    assert_string_equal(elf.interpreter, "/lib64/ld-linux-x86-64.so.2");
    assert_int_equal(elf.segment[1].prot, PROT_READ | PROT_WRITE);
}

/* A field to overwrite, and what is said then. */
struct damage {
    size_t offset, size;
    uint64_t value;
    const char *says;
};

#define HEAD(field, value, says)                                                                   \
    {                                                                                              \
        offsetof(struct sample, head.field), sizeof(((struct sample *)0)->head.field), value, says \
    }
#define LOAD(n, field, value, says)                                                              \
    {                                                                                            \
        offsetof(struct sample, header[n].field), sizeof(((struct sample *)0)->header[n].field), \
            value, says                                                                          \
    }

static void test_damaged_headers(void **state)
{
    static const struct damage cases[] = {
        HEAD(e_ident[0], 'M', "neither an ELF program nor a script"),
        HEAD(e_ident[EI_CLASS], ELFCLASS32, "32-bit program (x32)"),
        HEAD(e_ident[EI_DATA], 7, "damaged (byte order 7)"),
        HEAD(e_machine, EM_386, "32-bit program (i386)"),
        HEAD(e_machine, EM_AARCH64, "another processor (AArch64)"),
        HEAD(e_machine, EM_RISCV, "another processor (RISC-V)"),
        HEAD(e_machine, 0xeeee, "another processor (ELF machine 61166)"),
        HEAD(e_type, ET_REL, "not linked yet"),
        HEAD(e_type, ET_CORE, "a core dump"),
        HEAD(e_type, 0xfe00, "type 65024"),
        HEAD(e_phnum, 0, "0 program headers"),
        HEAD(e_phnum, 0xffff, "65535 program headers"),
        HEAD(e_phnum, 300, "cut off: its program headers"),
        HEAD(e_phentsize, 32, "of 32 bytes"),
        HEAD(e_phoff, UINT64_MAX - 8, "cut off: its program headers"),
        HEAD(e_phoff, FILE_SIZE - 8, "cut off: its program headers"),
        LOAD(1, p_filesz, 0x3001, "more bytes in the file than in memory"),
        LOAD(1, p_memsz, UINT64_MAX, "outside of user space"),
        LOAD(1, p_vaddr, UINT64_C(0xffff800000000000), "outside of user space"),
        LOAD(1, p_vaddr, UINT64_C(0x7ffffffff000), "outside of user space"),
        LOAD(1, p_offset, 0x2000, "cut off: segment 1 ends at byte 16384"),
        LOAD(1, p_offset, UINT64_MAX - 0xfff, "cut off: segment 1"),
        LOAD(1, p_offset, 0x10, "do not agree within a page"),
        LOAD(2, p_vaddr, 0x1010, "overlaps the segment before it"),
        LOAD(1, p_vaddr, 0x8000, "out of order"),
        LOAD(0, p_filesz, 0, "interpreter (PT_INTERP) is damaged"),
        LOAD(0, p_filesz, 10, "interpreter (PT_INTERP) is damaged"),
        LOAD(0, p_filesz, 5000, "interpreter (PT_INTERP) is damaged"),
        LOAD(0, p_offset, UINT64_MAX, "interpreter (PT_INTERP) is damaged"),
        LOAD(2, p_memsz, UINT64_C(0x700000000000), "more memory than there are addresses"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample s = sample();
        struct elf_file elf;
        struct error err = {""};
        memcpy((char *)&s + cases[i].offset, &cases[i].value, cases[i].size);
        if (parse(&s, sizeof s, &elf, &err) || !strstr(err.text, cases[i].says)) {
            fail_msg("case %zu: '%s' does not say '%s'", i, err.text, cases[i].says);
        }
    }
}

static void test_cut_off(void **state)
{
    struct sample s = sample();

    (void)state;
    for (size_t size = 0; size < 0x2810; size += size < 400 ? 1 : 61) {
        struct elf_file elf;
        struct error err;
        /* An exact copy, so that a sanitizer sees a read behind it. */
        char *copy = malloc(size ? size : 1);
        memcpy(copy, &s, size);
        if (parse(copy, size, &elf, &err)) {
            fail_msg("%zu bytes were taken for a program", size);
        }
        free(copy);
    }
    struct elf_file elf;
    assert_true(parse(&s, 0x2810, &elf, NULL));
}

static void test_no_segments(void **state)
{
    struct sample s = sample();
    struct elf_file elf;
    struct error err;

    (void)state;
    s.header[1].p_type = s.header[2].p_type = PT_NULL;
    assert_false(parse(&s, sizeof s, &elf, &err));
    assert_non_null(strstr(err.text, "no segment to load"));
    s = sample();
    s.header[3].p_flags = PF_X;
    s.header[1].p_align = 3; /* no power of two: does not count */
    assert_true(parse(&s, sizeof s, &elf, &err));
    assert_true(elf.stack_executable);
}

/* --- scripts --- */

static void test_script_lines(void **state)
{
    static const struct {
        const char *text, *interpreter, *argument; /* interpreter NULL: bad or no script */
        bool script;
    } cases[] = {
        {"#!/bin/sh\necho", "/bin/sh", "", true},
        {"#! \t/bin/sh -e  -x \t\n", "/bin/sh", "-e  -x", true},
        {"#!/bin/sh", "/bin/sh", "", true},
        {"#!\n", NULL, NULL, true},
        {"#!   ", NULL, NULL, true},
        {"# !/bin/sh\n", NULL, NULL, false},
        {"#", NULL, NULL, false},
        {"", NULL, NULL, false},
    };
    struct elf_script script;
    const char *bad;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes b = {cases[i].text, strlen(cases[i].text)};
        const struct elf_source source = {read_bytes, &b, b.size};
        assert_int_equal(elf_script_parse(&source, &script, &bad), cases[i].script);
        assert_int_equal(bad != NULL, cases[i].script && !cases[i].interpreter);
        if (cases[i].interpreter) {
            assert_string_equal(script.interpreter, cases[i].interpreter);
            assert_string_equal(script.argument, cases[i].argument);
        }
    }
    /* 256 bytes count: a name that goes on behind them is refused, an argument is cut. */
    char line[400];
    memset(line, 'x', sizeof line);
    memcpy(line, "#!/", 3);
    struct bytes b = {line, sizeof line};
    const struct elf_source source = {read_bytes, &b, b.size};
    assert_true(elf_script_parse(&source, &script, &bad));
    assert_non_null(bad);
    line[9] = ' ';
    assert_true(elf_script_parse(&source, &script, &bad));
    assert_null(bad);
    assert_int_equal(strlen(script.interpreter), 7);
    assert_int_equal(strlen(script.argument), 256 - 10);
}

/* --- files --- */

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/vitrine-unit-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char *command = mem_format("rm -rf %s", folder);
    int failed = system(command);

    (void)state;
    free(command);
    return failed;
}

static char *make_file(const char *name, const void *bytes, size_t size, mode_t mode)
{
    char *path = mem_format("%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && !fchmod(fd, mode));
    close(fd);
    return path;
}

static int find_error(const char *path, const char *sysroot, const char *says)
{
    static char *const argv[] = {(char *)"zero", (char *)"one", NULL};
    struct user_program program;
    struct error err = {""};
    int error = 0;

    bool ok = user_program_find(&program, path, argv, sysroot, &error, &err);
    if (ok != !*says || !strstr(err.text, says)) {
        fail_msg("%s: '%s' does not say '%s'", path, err.text, says);
    }
    user_program_free(&program);
    return ok ? 0 : error;
}

static void test_files(void **state)
{
    struct sample s = sample();

    (void)state;
    strcpy(s.interpreter, "/nowhere/ld.so");
    memset(s.interpreter + 15, 0, sizeof s.interpreter - 15);
    char *good = make_file("good", &s, sizeof s, 0755);
    assert_int_equal(find_error(good, NULL, "its interpreter /nowhere/ld.so"), ENOENT);
    char *plain = make_file("plain", "hello\n", 6, 0755);
    assert_int_equal(find_error(plain, NULL, "neither an ELF program"), ENOEXEC);
    char *closed = make_file("closed", &s, sizeof s, 0644);
    assert_int_equal(find_error(closed, NULL, "may not be executed"), EACCES);
    assert_int_equal(find_error(folder, NULL, "this is a directory"), EACCES);
    assert_int_equal(find_error("/dev/null", NULL, "not a regular file"), EACCES);
    assert_int_equal(find_error("/nowhere/at/all", NULL, "No such file"), ENOENT);
    char *loop = mem_format("%s/loop", folder), *line = mem_format("#!%s\n", loop);
    free(make_file("loop", line, strlen(line), 0755));
    assert_int_equal(find_error(loop, NULL, "too many scripts"), ELOOP);

    /* The sysroot is asked first. */
    char *within = mem_format("%s/nowhere", folder);
    assert_int_equal(mkdir(within, 0755), 0);
    free(make_file("nowhere/ld.so", "bad", 3, 0755));
    assert_int_equal(find_error(good, folder, "nowhere/ld.so: this is neither"), ELIBBAD);
    s.header[0].p_type = PT_NULL;
    free(make_file("nowhere/ld.so", &s, sizeof s, 0755));
    assert_int_equal(find_error(good, folder, ""), 0);
    free(good), free(plain), free(closed), free(loop), free(line), free(within);
}

static void test_script_arguments(void **state)
{
    struct sample s = sample();
    static char *const argv[] = {(char *)"zero", (char *)"one", NULL};
    struct user_program program;
    struct error err;
    int error;

    (void)state;
    s.header[0].p_type = PT_NULL;
    char *program_path = make_file("program", &s, sizeof s, 0755);
    char *text = mem_format("#!%s -a b \n", program_path);
    char *inner = make_file("inner", text, strlen(text), 0755);
    char *outer_text = mem_format("#! %s\n", inner);
    char *outer = make_file("outer", outer_text, strlen(outer_text), 0755);
    assert_true(user_program_find(&program, outer, argv, NULL, &error, &err));
    const char *wanted[] = {program_path, "-a b", inner, outer, "one"};
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(program.argv[i], wanted[i]);
    }
    assert_null(program.argv[5]);
    assert_string_equal(program.path, program_path);
    user_program_free(&program);
    free(program_path), free(text), free(inner), free(outer_text), free(outer);
}

/* --- loading --- */

static uint64_t auxv_value(const struct user *user, uint64_t type)
{
    for (size_t i = 0; i < user->image.auxv_count; i++) {
        if (user->image.auxv[i].a_type == type) {
            return user->image.auxv[i].a_un.a_val;
        }
    }
    fail_msg("auxv has no %u", (unsigned)type);
    return 0;
}

/* Loads the sample, its data filled with 7, where code may be put near. */
static struct user *load(uint16_t type, uint64_t address)
{
    static char *argv[] = {(char *)"name", (char *)"", (char *)"last", NULL};
    static char *envp[] = {(char *)"A=b", NULL};
    struct sample s = sample();
    struct user *user = mem_alloc(sizeof *user);
    struct error err;

    s.head.e_type = type;
    s.head.e_entry += address;
    s.header[0].p_type = PT_NULL;
    s.header[1].p_vaddr += address;
    s.header[2].p_vaddr += address;
    memset((char *)&s + 0x2000, 7, 0x1000);
    user->options = (struct user_options){.program = make_file("load", &s, sizeof s, 0755),
                                          .argv = argv,
                                          .envp = envp,
                                          .seeded = true,
                                          .seed = 5};
    user_memory_init(user);
    if (!user_load_plan(user, &err) || !user_load(user, &err)) {
        fail_msg("%s", err.text);
    }
    return user;
}

static void check_loaded(struct user *user, uint64_t bias)
{
    const struct user_image *image = &user->image;
    const uint8_t *data = (uint8_t *)(uintptr_t)(bias + 0x4000);
    const uint64_t *word = (uint64_t *)(uintptr_t)image->stack;
    struct x86_cpu *cpu = mem_alloc(sizeof *cpu);

    assert_int_equal(image->entry, bias + 0x1100);
    assert_int_equal(data[0], 7); /* the page's first bytes are the file's, too */
    assert_int_equal(data[0x80f], 7);
    for (size_t i = 0x810; i < 0x2810; i++) {
        assert_int_equal(data[i], 0);
    }
    assert_int_equal(user_map_at(&user->map, bias)->prot, PROT_READ | PROT_EXEC);
    assert_null(user_map_at(&user->map, bias + 0x3000)); /* between segments there is nothing */
    assert_int_equal(user_brk(user, 0), bias + 0x7000);
    assert_int_equal(user_brk(user, bias + 0x9000), bias + 0x9000);

    assert_int_equal(image->stack % 16, 0);
    assert_int_equal(word[0], 3);
    assert_string_equal((const char *)(uintptr_t)word[1], "name");
    assert_string_equal((const char *)(uintptr_t)word[2], "");
    assert_string_equal((const char *)(uintptr_t)word[3], "last");
    assert_int_equal(word[4], 0);
    assert_string_equal((const char *)(uintptr_t)word[5], "A=b");
    assert_int_equal(word[6], 0);
    assert_memory_equal(&word[7], image->auxv, image->auxv_count * sizeof *image->auxv);
    assert_int_equal(image->arg_end, image->env_start);
    assert_string_equal((const char *)(uintptr_t)auxv_value(user, AT_EXECFN),
                        user->options.program);
    assert_string_equal((const char *)(uintptr_t)auxv_value(user, AT_PLATFORM), "x86_64");
    assert_int_equal(auxv_value(user, AT_PHDR), bias + sizeof(Elf64_Ehdr));
    assert_int_equal(auxv_value(user, AT_ENTRY), bias + 0x1100);
    assert_int_equal(auxv_value(user, AT_RANDOM) % 16, 0);
    assert_int_equal(image->auxv[image->auxv_count - 1].a_type, AT_NULL);

    memset(cpu, 0xff, sizeof *cpu);
    user_load_cpu(user, cpu);
    assert_int_equal(cpu->state.reg[X86_RSP], image->stack);
    assert_int_equal(cpu->state.reg[X86_RDX], 0);
    assert_int_equal(cpu->state.pc, image->entry);
    free(cpu);
}

static void unload(struct user *user)
{
    while (user->map.count) {
        const struct user_mapping m = user->map.mapping[0];
        assert_int_equal(user_munmap(user, m.start, m.end - m.start), 0);
    }
    user_load_free(user);
    free((char *)user->options.program);
    free(user);
}

static void test_load_movable(void **state)
{
    struct user *user = load(ET_DYN, 0);
    const uint64_t bias = user->image.entry - 0x1100;

    (void)state;
    assert_int_equal(bias % 0x200000, 0);
    check_loaded(user, bias);
    /* Code cache, program and small mappings can reach each other. */
    assert_true(user->map.code_near < bias && bias + 0x7000 - user->map.code_near < INT32_MAX);
    assert_true(user->map.near_high < user->map.code_near);
    assert_true(user->map.code_near - user->map.near_low < INT32_MAX);
    unload(user);
}

static void test_load_fixed(void **state)
{
    struct user *user = load(ET_EXEC, 0x400000);

    (void)state;
    check_loaded(user, 0x400000);
    assert_true(user->map.code_near > 0x400000 && user->map.code_near < INT32_MAX);
    assert_true(user->map.near_high - user->map.code_near <= UINT64_C(1) << 31);
    unload(user);
}

static void test_place_taken(void **state)
{
    struct sample s = sample();
    struct user *user = mem_alloc(sizeof *user);
    static char *argv[] = {(char *)"x", NULL};
    char *ours = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct error err;

    (void)state;
    assert_ptr_not_equal(ours, MAP_FAILED);
    s.head.e_type = ET_EXEC;
    s.header[0].p_type = PT_NULL;
    s.header[1].p_vaddr += (uintptr_t)ours;
    s.header[2].p_vaddr += (uintptr_t)ours;
    user->options = (struct user_options){
        .program = make_file("taken", &s, sizeof s, 0755), .argv = argv, .envp = argv + 1};
    user_memory_init(user);
    assert_false(user_load_plan(user, &err));
    assert_non_null(strstr(err.text, "where the translator itself is"));
    munmap(ours, 1 << 20);
    user->image.exe_fd = -1;
    user_load_free(user);
    free((char *)user->options.program);
    free(user);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_headers),     cmocka_unit_test(test_damaged_headers),
        cmocka_unit_test(test_cut_off),          cmocka_unit_test(test_no_segments),
        cmocka_unit_test(test_script_lines),     cmocka_unit_test(test_files),
        cmocka_unit_test(test_script_arguments), cmocka_unit_test(test_load_movable),
        cmocka_unit_test(test_load_fixed),       cmocka_unit_test(test_place_taken),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
