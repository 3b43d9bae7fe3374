/* SPDX-License-Identifier: MIT
 *
 * One list of the declarations of several files, as it is installed for readers of recordings. */
#include "tracegen.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Sets that stand in the list already. */
struct seen {
    const struct trace_words **words;
    size_t count;
};

static void put_words(struct strbuf *out, const struct trace_decl *decl, struct seen *seen)
{
    for (unsigned a = 0; a < decl->nargs; a++) {
        const struct trace_words *words = decl->arg[a].words;
        bool is_new = words != NULL;
        for (size_t i = 0; is_new && i < seen->count; i++) {
            is_new = seen->words[i] != words;
        }
        if (is_new) {
            trace_words_print(out, words);
            seen->words = mem_resize(seen->words, seen->count + 1, sizeof *seen->words);
            seen->words[seen->count++] = words;
        }
    }
}

/* The folder of a trace-events file, which names its group. */
static void put_heading(struct strbuf *out, const char *path)
{
    static const char file[] = "/trace-events";
    size_t len = strlen(path), tail = strlen(file);
    if (len > tail && strcmp(path + len - tail, file) == 0) {
        len -= tail;
    }
    strbuf_printf(out, "\n# %.*s\n", (int)len, path);
}

void tracegen_merge(struct strbuf *out, const struct tracegen *gen)
{
    struct seen seen = {0};
    strbuf_puts(out, "# The events of this build, in the form of QEMU's trace-events-all: for\n"
                     "# vitrine-trace, simpletrace.py and whatever else reads recordings. Made by\n"
                     "# vitrine-tracegen from the trace-events files that are named below.\n");
    for (size_t i = 0; i < gen->ninputs; i++) {
        const struct tracegen_input *input = &gen->input[i];
        const char *source = NULL;
        put_heading(out, input->shown);
        for (size_t row = input->first; row < input->first + input->count; row++) {
            const struct trace_decl *decl = gen->decls->row[row];
            if (decl->source && decl->source != source) {
                source = decl->source;
                strbuf_printf(out, "# %s\n", source);
            }
            put_words(out, decl, &seen);
            trace_decl_print(out, decl);
        }
    }
    free(seen.words);
}
