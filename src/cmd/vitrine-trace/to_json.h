/* SPDX-License-Identifier: MIT
 *
 * Arguments of an event as a JSON object, for the formats that hold one (json, chrome).
 */
#ifndef TO_JSON_H
#define TO_JSON_H

#include <stdint.h>

#include "base/output.h"
#include "base/strbuf.h"
#include "cmd/vitrine-trace/text.h"
#include "trace/decl/decl.h"
#include "trace/read/reader.h"

/* The text between an event's values, made once. */
struct json_args;

struct json_args *json_args_new(const struct trace_decl *decl);
void json_args_free(struct json_args *args);

/* Writes {"name":value,...}. `scratch` is for words. */
void json_args_write(const struct json_args *args, struct output *out, struct strbuf *scratch,
                     const struct trace_record *record);

/* A 64-bit value as a signed decimal number. */
void json_signed(struct output *out, uint64_t value);

#endif
