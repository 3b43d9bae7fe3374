/* SPDX-License-Identifier: MIT
 *
 * Finding the declarations that belong to a recording: what the user names, else the list that the
 * writer put beside the recording, else the lists that are installed. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "trace/read/internal.h"

#define LIST      "trace-events-all"
#define QEMU_LIST "/usr/share/qemu/" LIST

/* "PATH.events" if there is such a file; for "x.zst" also "x.events". */
static char *beside(const char *path)
{
    char *name = mem_format("%s.events", path);
    size_t len = strlen(path);
    if (access(name, F_OK) != 0 && len > 4 && !strcmp(path + len - 4, ".zst")) {
        free(name);
        name = mem_format("%.*s.events", (int)(len - 4), path);
    }
    if (access(name, F_OK) != 0) {
        free(name);
        name = NULL;
    }
    return name;
}

/* The list in the folder of the running program: a build that is not installed. */
static char *beside_program(void)
{
    char exe[4096];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe);
    while (len > 0 && exe[len - 1] != '/') {
        len--;
    }
    return len > 0 ? mem_format("%.*s" LIST, (int)len, exe) : NULL;
}

enum { PLACES_MAX = 4 };

/* Where lists are installed, best first. */
static unsigned places(char **place)
{
    unsigned count = 0;
    const char *named = getenv("VITRINE_EVENTS");
    if (named && *named) {
        place[count++] = mem_string(named);
    }
    char *program = beside_program();
    if (program) {
        place[count++] = program;
    }
#ifdef VITRINE_DATADIR
    place[count++] = mem_string(VITRINE_DATADIR "/" LIST);
#endif
    place[count++] = mem_string(QEMU_LIST);
    return count;
}

/* Loads the installed lists. The first that exists has to be right; further ones only add names. */
static bool load_installed(struct trace_decls *decls, const char *path, bool merged, char **used,
                           struct error *err)
{
    char *place[PLACES_MAX];
    unsigned count = places(place);
    bool fine = true;
    struct strbuf names;
    strbuf_init(&names);
    for (unsigned i = 0; i < count && fine && (merged || !names.len); i++) {
        if (access(place[i], F_OK) == 0) {
            bool first = !names.len;
            bool loaded = trace_decls_load(decls, TRACE_DIALECT_ANY, place[i], NULL, NULL,
                                           first ? err : NULL);
            fine = loaded || !first;
            strbuf_printf(&names, "%s%s", first ? "" : " and ", place[i]);
        }
    }
    if (fine && !names.len) {
        for (unsigned i = 0; i < count; i++) {
            strbuf_printf(&names, "%s%s", i ? ", " : "", place[i]);
        }
        fine = error_set(err,
                         "%s: no declarations of events found: expected %s.events or one of %s; "
                         "name the list of the program that wrote it with --events",
                         path, path, names.data);
    }
    for (unsigned i = 0; i < count; i++) {
        free(place[i]);
    }
    *used = strbuf_take(&names);
    return fine;
}

struct trace_decls *trace_events_load(const char *path, const char *events, bool merged,
                                      char **used, struct error *err)
{
    struct trace_decls *decls = trace_decls_new();
    bool fine;
    *used = events ? mem_string(events) : beside(path);
    if (*used) {
        fine = trace_decls_load(decls, TRACE_DIALECT_ANY, *used, NULL, NULL, err);
    } else {
        fine = load_installed(decls, path, merged, used, err);
    }
    if (!fine) {
        free(*used);
        *used = NULL;
        trace_decls_free(decls);
        return NULL;
    }
    return decls;
}
