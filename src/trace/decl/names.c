/* SPDX-License-Identifier: MIT
 *
 * Names that a declaration of ours may not use, because generated C code could not be compiled or
 * would mean something else. */
#include "trace/decl/internal.h"

#include <string.h>

static const char *const keywords[] = {
    "auto",     "break",    "case",     "const",  "continue", "default", "do",     "double",
    "else",     "enum",     "extern",   "float",  "for",      "goto",    "if",     "inline",
    "register", "restrict", "return",   "sizeof", "static",   "struct",  "switch", "typedef",
    "typeof",   "union",    "volatile", "while",  "asm",
};

/* Macros and types that are in scope in every generated source. */
static const char *const taken[] = {
    "true",   "false", "NULL", "EOF",  "errno",    "stdin", "stdout",
    "stderr", "linux", "unix", "i386", "offsetof", "FILE",
};

/* Events whose names would hide the functions of trace/trace.h. */
static const char *const functions[] = {
    "live", "fire", "group_register", "format_check", "event_get_state", "event_get_state_backends",
};

static bool is_in(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], name) == 0) {
            return true;
        }
    }
    return false;
}

#define IN(list, name) is_in(list, sizeof(list) / sizeof((list)[0]), name)

const char *decl_refuse_arg_name(const char *name)
{
    if (name[0] >= '0' && name[0] <= '9') {
        return "begins with a digit, which no name in C does";
    }
    if (IN(keywords, name)) {
        return "is a keyword of C";
    }
    if (trace_type_is_word(name, strlen(name))) {
        return "is a word of a type: the argument's name is missing, or is no name in C";
    }
    if (IN(taken, name)) {
        return "has a meaning of its own in C";
    }
    if (strncmp(name, "__", 2) == 0 || strncmp(name, "trace_", 6) == 0 ||
        strncmp(name, "_sdt", 4) == 0) {
        return "is kept for generated code: names that begin with '__', '_sdt' or 'trace_' are";
    }
    return NULL;
}

const char *decl_refuse_event_name(const char *name)
{
    if (IN(functions, name) || strncmp(name, "fire_", 5) == 0) {
        return "is kept for generated code, where 'trace_' stands before it";
    }
    return NULL;
}
