/* SPDX-License-Identifier: MIT
 *
 * vitrine-tracegen: options, reading the declarations, complaining, writing the files whole or not
 * at all. */
#include "tracegen.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

#ifndef VITRINE_VERSION
#define VITRINE_VERSION "(development build)"
#endif

static const char usage_text[] =
    "usage: vitrine-tracegen --group NAME --header OUT.h --source OUT.c INPUT\n"
    "       vitrine-tracegen --merge OUT INPUT...\n"
    "       vitrine-tracegen --lttng-header OUT.h --lttng-source OUT.c INPUT...\n"
    "       vitrine-tracegen --stap OUT.stp --binary PATH [--probe-prefix PREFIX] INPUT...\n"
    "       vitrine-tracegen --check INPUT...\n";

static const char help_text[] =
    "\n"
    "Makes C code, lists and tapsets of trace-events files.\n"
    "\n"
    "  --group NAME          name of the group of probes, usually the folder\n"
    "  --header, --source    C code of the probes of one file\n"
    "  --merge OUT           one list of all declarations, for readers of recordings\n"
    "  --lttng-header, --lttng-source\n"
    "                        an LTTng-UST provider\n"
    "  --stap OUT.stp        a SystemTap tapset for the program at --binary PATH; aliases are\n"
    "                        PREFIX.EVENT (--probe-prefix, default qemu.system.x86_64)\n"
    "  --check               only complain\n"
    "  --root DIR            name files in what is made from this folder on\n"
    "  --help, --version\n"
    "\n"
    "Complaints have the form FILE:LINE:COLUMN: what is wrong, what is allowed. Exit status: 0 "
    "done,\n"
    "1 an error in a file, 2 wrong usage.\n";

struct options {
    const char *group, *header, *source, *merge, *lttng_header, *lttng_source, *stap, *binary,
        *prefix, *root;
    bool check;
};

/* A file to be written. */
struct output_file {
    const char *path;
    struct strbuf text;
    char *temporary; /* where it is until all are complete */
};

enum { OUTPUTS_MAX = 2 };

/* ---- complaints ---- */

/* Prints the line that a sentence "FILE:LINE:COLUMN: ..." points at, and a caret under the place.
 */
static void show_place(const char *path, const char *sentence)
{
    size_t n = strlen(path);
    unsigned line, column;
    if (strncmp(sentence, path, n) != 0 || sscanf(sentence + n, ":%u:%u:", &line, &column) != 2) {
        return;
    }
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;
    ssize_t len = -1;
    for (unsigned i = 0; f && i < line; i++) {
        len = getline(&text, &room, f);
    }
    if (len >= 0 && column >= 1 && column <= 2000 && (size_t)column <= (size_t)len + 1) {
        text[strcspn(text, "\r\n")] = '\0';
        fprintf(stderr, "  %.2000s\n  ", text);
        for (unsigned i = 0; i + 1 < column; i++) {
            /* Tabs keep the caret in place; the later bytes of a UTF-8 character have no width. */
            if (((unsigned char)text[i] & 0xc0) != 0x80) {
                fputc(text[i] == '\t' ? '\t' : ' ', stderr);
            }
        }
        fputs("^\n", stderr);
    }
    free(text);
    if (f) {
        fclose(f);
    }
}

/* A warning of the reader: `opaque` is the path. The word goes between place and sentence. */
static void warn(void *opaque, const char *sentence)
{
    const char *path = opaque;
    size_t n = strlen(path);
    unsigned line, column;
    int used = 0;
    if (strncmp(sentence, path, n) == 0 &&
        sscanf(sentence + n, ":%u:%u: %n", &line, &column, &used) == 2 && used) {
        fprintf(stderr, "%s:%u:%u: warning: %s\n", path, line, column, sentence + n + used);
    } else {
        fprintf(stderr, "warning: %s\n", sentence);
    }
    show_place(path, sentence);
}

static int usage_error(const char *sentence)
{
    fprintf(stderr, "vitrine-tracegen: %s\n%s", sentence, usage_text);
    return 2;
}

/* ---- reading ---- */

/* What is made names files from the root of the sources on, wherever those are on this machine. */
static const char *shown_path(const char *path, const char *root)
{
    size_t n = root ? strlen(root) : 0;
    while (n && root[n - 1] == '/') {
        n--;
    }
    if (n && strncmp(path, root, n) == 0 && path[n] == '/') {
        return path + n + strspn(path + n, "/");
    }
    while (strncmp(path, "../", 3) == 0 || strncmp(path, "./", 2) == 0) {
        path += path[1] == '.' ? 3 : 2;
    }
    return path;
}

static bool load(struct tracegen *gen, char **paths, size_t count, const char *root)
{
    gen->decls = trace_decls_new();
    gen->input = mem_alloc(count * sizeof *gen->input);
    for (size_t i = 0; i < count; i++) {
        struct tracegen_input *input = &gen->input[gen->ninputs++];
        struct error err;
        *input =
            (struct tracegen_input){paths[i], shown_path(paths[i], root), gen->decls->count, 0};
        if (!trace_decls_load(gen->decls, TRACE_DIALECT_OWN, paths[i], warn, paths[i], &err)) {
            fprintf(stderr, "%s\n", err.text);
            show_place(paths[i], err.text);
            return false;
        }
        input->count = gen->decls->count - input->first;
    }
    return true;
}

/* Macros are in capitals: names that differ in case alone would be the same macro. */
static bool check_capitals(const struct tracegen *gen)
{
    const struct trace_decls *d = gen->decls;
    for (size_t i = 0; i < d->count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcasecmp(d->row[i]->name, d->row[k]->name) == 0) {
                fprintf(stderr,
                        "%s:%u:1: event '%s' differs from '%s' of line %u in capitals alone: their "
                        "macros would be the same, another name is needed\n",
                        gen->input[0].path, d->row[i]->line, d->row[i]->name, d->row[k]->name,
                        d->row[k]->line);
                return false;
            }
        }
    }
    return true;
}

/* ---- writing ---- */

static bool write_failed(const char *path)
{
    fprintf(stderr, "vitrine-tracegen: %s: cannot write the file: %s\n", path, strerror(errno));
    return false;
}

/* Writes beside the place where the file goes. */
static bool write_temporary(struct output_file *file)
{
    file->temporary = mem_format("%s.XXXXXX", file->path);
    int fd = mkstemp(file->temporary);
    if (fd < 0) {
        write_failed(file->path);
        free(file->temporary);
        file->temporary = NULL;
        return false;
    }
    mode_t mask = umask(0);
    umask(mask);
    FILE *f = fdopen(fd, "w");
    bool ok = fchmod(fd, 0666 & ~mask) == 0;
    ok = fwrite(file->text.data, 1, file->text.len, f) == file->text.len && ok;
    ok = fclose(f) == 0 && ok;
    return ok || write_failed(file->path);
}

/* True if both names lead to one file that exists. */
static bool same_file(const char *a, const char *b)
{
    struct stat sa, sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

/* What is made must not replace what somebody wrote. */
static bool check_places(const struct output_file *file, size_t count, char **paths, size_t inputs)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < inputs; k++) {
            if (same_file(file[i].path, paths[k])) {
                fprintf(stderr,
                        "vitrine-tracegen: %s: is an input and would be overwritten, another name "
                        "is needed\n",
                        file[i].path);
                return false;
            }
        }
    }
    return true;
}

/* All files or none. */
static bool write_files(struct output_file *file, size_t count)
{
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        ok = write_temporary(&file[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (ok && rename(file[i].temporary, file[i].path) != 0) {
            ok = write_failed(file[i].path);
        }
        if (!ok && file[i].temporary) {
            unlink(file[i].temporary);
        }
        free(file[i].temporary);
    }
    return ok;
}

/* ---- the work ---- */

/* The group in identifiers: everything but [a-z0-9_] becomes '_', capitals become small. */
static char *group_name(const char *text)
{
    char *name = mem_string(text);
    for (char *p = name; *p; p++) {
        *p = isascii((unsigned char)*p) && isalnum((unsigned char)*p)
                 ? (char)tolower((unsigned char)*p)
                 : '_';
    }
    return name;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Breaks the long lines of generated C code. */
static void wrap(struct output_file *file)
{
    struct strbuf text = file->text;
    strbuf_init(&file->text);
    tracegen_wrap(&file->text, text.data);
    strbuf_free(&text);
}

/* Fills the files to write and returns how many; -1 after an error that was printed. */
static int generate(const struct tracegen *gen, const struct options *o, struct output_file *file)
{
    for (int i = 0; i < OUTPUTS_MAX; i++) {
        file[i] = (struct output_file){0};
        strbuf_init(&file[i].text);
    }
    if (o->group) {
        if (!check_capitals(gen)) {
            return -1;
        }
        char *group = group_name(o->group);
        file[0].path = o->header;
        file[1].path = o->source;
        tracegen_header(&file[0].text, gen, group);
        tracegen_source(&file[1].text, gen, group, base_name(o->header));
        free(group);
        wrap(&file[0]);
        wrap(&file[1]);
        return 2;
    }
    if (o->merge) {
        file[0].path = o->merge;
        tracegen_merge(&file[0].text, gen);
        return 1;
    }
    if (o->lttng_header) {
        file[0].path = o->lttng_header;
        file[1].path = o->lttng_source;
        tracegen_lttng_header(&file[0].text, gen, base_name(o->lttng_header));
        tracegen_lttng_source(&file[1].text, gen, base_name(o->lttng_header));
        wrap(&file[0]);
        wrap(&file[1]);
        return 2;
    }
    if (o->stap) {
        file[0].path = o->stap;
        tracegen_stap(&file[0].text, gen, o->binary, o->prefix);
        return 1;
    }
    return 0;
}

static int run(const struct options *o, char **paths, size_t count)
{
    struct tracegen gen = {0};
    struct output_file file[OUTPUTS_MAX];
    bool ok = load(&gen, paths, count, o->root);
    if (ok) {
        int files = generate(&gen, o, file);
        ok = files >= 0 && check_places(file, (size_t)files, paths, count) &&
             write_files(file, (size_t)files);
        for (int i = 0; i < OUTPUTS_MAX; i++) {
            strbuf_free(&file[i].text);
        }
    }
    trace_decls_free(gen.decls);
    free(gen.input);
    return ok ? 0 : 1;
}

/* NULL if the options go together, else what is wrong. */
static const char *check_options(const struct options *o, int inputs)
{
    bool code = o->group || o->header || o->source;
    bool lttng = o->lttng_header || o->lttng_source;
    bool stap = o->stap || o->binary || o->prefix;
    if (code + (o->merge != NULL) + lttng + stap + o->check != 1) {
        return "one of --group, --merge, --lttng-header, --stap or --check is needed";
    }
    if (code && !(o->group && o->header && o->source)) {
        return "--group, --header and --source belong together";
    }
    if (code && !*o->group) {
        return "--group needs a name";
    }
    if (lttng && !(o->lttng_header && o->lttng_source)) {
        return "--lttng-header and --lttng-source belong together";
    }
    if (stap && !(o->stap && o->binary)) {
        return "--stap and --binary belong together";
    }
    if (inputs == 0) {
        return "a trace-events file is needed";
    }
    if (code && inputs > 1) {
        return "--group takes one trace-events file";
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"group", required_argument, NULL, 'g'},
        {"header", required_argument, NULL, 'h'},
        {"source", required_argument, NULL, 's'},
        {"merge", required_argument, NULL, 'm'},
        {"lttng-header", required_argument, NULL, 'l'},
        {"lttng-source", required_argument, NULL, 'L'},
        {"stap", required_argument, NULL, 't'},
        {"binary", required_argument, NULL, 'b'},
        {"root", required_argument, NULL, 'r'},
        {"probe-prefix", required_argument, NULL, 'p'},
        {"check", no_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'H'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    struct options o = {0};
    int got;
    while ((got = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (got) {
        case 'g': o.group = optarg; break;
        case 'h': o.header = optarg; break;
        case 's': o.source = optarg; break;
        case 'm': o.merge = optarg; break;
        case 'l': o.lttng_header = optarg; break;
        case 'L': o.lttng_source = optarg; break;
        case 't': o.stap = optarg; break;
        case 'b': o.binary = optarg; break;
        case 'p': o.prefix = optarg; break;
        case 'r': o.root = optarg; break;
        case 'c': o.check = true; break;
        case 'H': printf("%s%s", usage_text, help_text); return 0;
        case 'V': puts("vitrine-tracegen " VITRINE_VERSION); return 0;
        default: fputs(usage_text, stderr); return 2;
        }
    }
    const char *wrong = check_options(&o, argc - optind);
    if (wrong) {
        return usage_error(wrong);
    }
    if (!o.prefix) {
        o.prefix = "qemu.system.x86_64";
    }
    return run(&o, argv + optind, (size_t)(argc - optind));
}
