/* SPDX-License-Identifier: MIT
 *
 * Foreign text in JSON, CSV, XML and plain UTF-8. Every function takes any bytes and writes valid
 * UTF-8: a byte that is not part of a valid sequence is written as the Latin-1 character it would
 * be. Runs that need no change are copied as they are.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>

#include "base/output.h"
#include "base/strbuf.h"

/* With the quotation marks. */
void text_json(struct output *out, const char *text, size_t len);

/* The inside of a quoted CSV field: quotation marks are doubled. */
void text_csv_inner(struct output *out, const char *text, size_t len);

/* A JSON string inside a quoted CSV field. */
void text_csv_json(struct output *out, const char *text, size_t len);

/* A whole CSV field, quoted where RFC 4180 asks for it. */
void text_csv(struct output *out, const char *text, size_t len);

/* For element content and attribute values in XML and HTML. Characters that XML cannot
 * express (control characters, U+FFFE, U+FFFF) become U+FFFD. */
void text_xml(struct output *out, const char *text, size_t len);

/* The same bytes as valid UTF-8. Points at `text` itself where nothing had to change, else into
 * `scratch`, which is cleared first. `*len` is updated. */
const char *text_utf8(struct strbuf *scratch, const char *text, size_t *len);

#endif
