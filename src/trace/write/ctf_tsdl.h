/* SPDX-License-Identifier: MIT
 *
 * The text of a CTF trace's metadata, in TSDL. ctf_file.h describes the layout that it declares.
 */
#ifndef TRACE_CTF_TSDL_H
#define TRACE_CTF_TSDL_H

#include <stdint.h>

#include "base/strbuf.h"
#include "trace/decl/decl.h"
#include "trace/write/ctf_file.h"

/* Everything but the events. */
void ctf_tsdl_head(struct strbuf *out, const uint8_t uuid[CTF_UUID_BYTES],
                   const struct ctf_about *about);

/* Sets of words whose declarations were written. Programs have a copy in each group and recordings
 * may disagree: sets are compared by content, and a second one of the same name gets another. */
struct ctf_words {
    unsigned count;
    struct ctf_words_row *row;
};

void ctf_words_free(struct ctf_words *words);

/* Our own declaration of an event, as a comment. */
void ctf_tsdl_declaration(struct strbuf *out, struct ctf_words *words,
                          const struct trace_decl *decl);

/* What a block that declares the event says beside its id, and the whole block. */
void ctf_tsdl_body(struct strbuf *out, const struct trace_decl *decl);
void ctf_tsdl_event(struct strbuf *out, uint32_t id, const char *body);

/* How many of the last arguments are context fields: called ctx_NAME. */
unsigned ctf_context_count(const struct trace_decl *decl);

#endif
