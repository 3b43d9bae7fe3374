/* SPDX-License-Identifier: MIT
 *
 * System calls in a recording: following each thread, and the memory that was recorded with its
 * calls, which the decoder of room `syscall` reads as if it were there. */
#include "cmd/vitrine-trace/calls.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* --- events --- */

static uint8_t argument(const struct trace_decl *decl, const char *name, bool text)
{
    for (unsigned i = 0; i < decl->nargs; i++) {
        if (!strcmp(decl->arg[i].name, name) && (decl->arg[i].kind == TRACE_STRING) == text) {
            return (uint8_t)i;
        }
    }
    return CALL_NO_ARGUMENT;
}

/* True if arg1 to arg6 stand one behind the other from `first` on. */
static bool has_arguments(const struct trace_decl *decl, unsigned first)
{
    char name[] = "arg1";

    for (unsigned i = 0; i < SYSCALL_ARGS; i++, name[3]++) {
        if (first + i >= decl->nargs || argument(decl, name, false) != first + i) {
            return false;
        }
    }
    return true;
}

struct call_event call_event_of(const struct trace_decl *decl)
{
    static const struct {
        const char *event;
        enum call_kind kind;
        const char *first;
        bool text;
    } known[] = {
        {"guest_user_syscall", CALL_ENTERS, "arg1", false},
        {"guest_user_syscall_ret", CALL_RETURNS, "ret", false},
        {"guest_user_string", CALL_STRING, "text", true},
        {"guest_user_memory", CALL_MEMORY, "bytes", true},
    };
    struct call_event event = {.kind = CALL_OTHER};

    for (unsigned i = 0; i < sizeof known / sizeof *known; i++) {
        if (!strcmp(decl->name, known[i].event)) {
            event = (struct call_event){
                .kind = known[i].kind,
                .cpu = argument(decl, "cpu", false),
                .thread = argument(decl, "ctx_thread", false),
                .num = argument(decl, "num", false),
                .first = argument(decl, known[i].first, known[i].text),
                .address = argument(decl, "addr", false),
            };
        }
    }
    bool whole = event.num != CALL_NO_ARGUMENT && event.first != CALL_NO_ARGUMENT &&
                 (event.kind != CALL_ENTERS || has_arguments(decl, event.first)) &&
                 (event.kind < CALL_STRING || event.address != CALL_NO_ARGUMENT);
    return whole ? event : (struct call_event){.kind = CALL_OTHER};
}

/* Calls of this machine: our recordings say so by the words of `num`. Others have this event, too,
 * for machines whose numbers mean something else. */
static bool is_ours(const struct trace_decl *decl, const struct call_event *event)
{
    const struct trace_words *words = decl->arg[event->num].words;

    return words && !strcmp(words->name, syscall_name_words()->name);
}

bool call_has_word(const struct trace_decl *decl, unsigned i)
{
    struct call_event event = call_event_of(decl);

    return event.kind == CALL_ENTERS && i >= event.first &&
           i < event.first + (unsigned)SYSCALL_ARGS && is_ours(decl, &event);
}

bool call_is_named(const struct trace_decl *decl)
{
    struct call_event event = call_event_of(decl);

    return event.kind == CALL_ENTERS && is_ours(decl, &event);
}

const char *call_name(const struct trace_record *record)
{
    struct call_event event = call_event_of(record->decl);
    const struct syscall_row *row = syscall_row(record->values[event.num]);

    return row ? row->name : NULL;
}

unsigned call_number(const struct trace_record *record, const char **name)
{
    const char *known = call_name(record);

    *name = known ? known : "(other calls)";
    return known ? (unsigned)record->values[call_event_of(record->decl).num] : SYSCALL_MAX;
}

bool call_word(struct strbuf *to, const struct trace_record *record, unsigned i)
{
    struct call_event event = call_event_of(record->decl);
    struct syscall_call call = {record->values[event.num], record->values + event.first, NULL,
                                NULL};
    size_t before = to->len;

    syscall_argument_text(to, &call, i - event.first);
    char first = to->len > before ? to->data[before] : 0;
    bool says =
        ((first >= 'A' && first <= 'Z') || first == '_') && strcmp(to->data + before, "NULL") != 0;
    if (!says && to->len > before) {
        to->len = before;
        to->data[before] = 0;
    }
    return says;
}

/* --- callers --- */

void calls_end(struct calls *calls)
{
    for (unsigned i = 0; i < calls->callers; i++) {
        for (unsigned k = 0; k < calls->caller[i].room; k++) {
            free(calls->caller[i].piece[k].bytes);
        }
        free(calls->caller[i].piece);
    }
    free(calls->caller);
    free(calls->event);
    *calls = (struct calls){0};
}

static const struct call_event *event_of(struct calls *calls, const struct trace_record *record)
{
    static const enum call_kind unknown = (enum call_kind) - 1;

    if (record->event >= calls->events) {
        unsigned more =
            record->event + 1 > 2 * calls->events ? record->event + 1 : 2 * calls->events;
        calls->event = mem_resize(calls->event, more, sizeof *calls->event);
        for (unsigned i = calls->events; i < more; i++) {
            calls->event[i].kind = unknown;
        }
        calls->events = more;
    }
    struct call_event *event = &calls->event[record->event];
    if (event->kind == unknown) {
        *event = call_event_of(record->decl);
    }
    return event;
}

/* A place for a new one. Its pieces' memory is used again. */
static struct caller *caller_new(struct calls *calls)
{
    if (calls->callers < CALLERS_MAX) {
        if (!(calls->callers & (calls->callers - 1))) { /* grows at powers of two */
            unsigned room = calls->callers ? 2 * calls->callers : 1;
            calls->caller = mem_resize(calls->caller, room, sizeof *calls->caller);
        }
        calls->caller[calls->callers] = (struct caller){0};
        return &calls->caller[calls->callers++];
    }
    struct caller *oldest = calls->caller;
    for (unsigned i = 1; i < calls->callers; i++) {
        oldest = calls->caller[i].turn < oldest->turn ? &calls->caller[i] : oldest;
    }
    return oldest;
}

/* True if a call has put another program in the thread's place: it has another cpu now. */
static bool has_been_replaced(const struct caller *caller)
{
    return caller->inside && !caller->done &&
           (caller->number == SYSCALL_execve || caller->number == SYSCALL_execveat);
}

static struct caller *caller_of(struct calls *calls, const struct call_event *event,
                                const struct trace_record *record)
{
    bool known = event->thread != CALL_NO_ARGUMENT;
    uint32_t thread = known ? (uint32_t)record->values[event->thread] : record->thread;
    uint64_t cpu = !known && event->cpu != CALL_NO_ARGUMENT ? record->values[event->cpu] : 0;
    unsigned ordinal = 1;

    for (unsigned i = 0; i < calls->callers; i++) {
        struct caller *c = &calls->caller[i];
        bool same = c->pid == record->pid && c->thread == thread;
        if (same && (c->cpu == cpu || has_been_replaced(c))) {
            struct caller *first = &calls->caller[0]; /* most records follow one of the same */
            struct caller moved = *first;
            *first = *c;
            *c = moved;
            first->cpu = cpu;
            return first;
        }
        ordinal += same;
    }
    struct caller *c = caller_new(calls);
    *c = (struct caller){.pid = record->pid,
                         .thread = thread,
                         .cpu = cpu,
                         .ordinal = ordinal,
                         .piece = c->piece,
                         .room = c->room};
    return c;
}

void caller_name(struct strbuf *to, const struct caller *caller)
{
    strbuf_printf(to, "%u", caller->thread ? caller->thread : caller->pid);
    if (caller->ordinal > 1) {
        strbuf_printf(to, ".%u", caller->ordinal);
    }
}

/* --- memory --- */

static int digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hexadecimal to bytes: how many. */
static uint32_t unpack(uint8_t *to, const uint8_t *text, uint32_t length)
{
    uint32_t size = 0;

    for (; 2 * size + 1 < length; size++) {
        int high = digit(text[2 * size]), low = digit(text[2 * size + 1]);
        if (high < 0 || low < 0) {
            break;
        }
        to[size] = (uint8_t)(high << 4 | low);
    }
    return size;
}

static void add_piece(struct caller *caller, const struct call_event *event,
                      const struct trace_record *record)
{
    const uint8_t *text = (const uint8_t *)(uintptr_t)record->values[event->first];
    uint32_t length = text ? record->lengths[event->first] : 0;

    if (caller->pieces == PIECES_MAX) {
        return;
    }
    length = length > TRACE_STRING_MAX ? TRACE_STRING_MAX : length;
    if (caller->pieces == caller->room) {
        caller->piece = mem_resize(caller->piece, caller->room + 1, sizeof *caller->piece);
        caller->piece[caller->room++].bytes = mem_alloc(TRACE_STRING_MAX);
    }
    struct call_piece *piece = &caller->piece[caller->pieces++];
    piece->number = record->values[event->num];
    piece->address = record->values[event->address];
    piece->text = event->kind == CALL_STRING;
    if (piece->text) {
        piece->size = length;
        memcpy(piece->bytes, text ? text : (const uint8_t *)"", length);
    } else {
        piece->size = unpack(piece->bytes, text, length);
    }
}

/* Forgets what came before the record that `from` counts. */
static void drop_pieces(struct caller *caller, unsigned from)
{
    for (unsigned i = from; i < caller->pieces; i++) {
        struct call_piece moved = caller->piece[i - from];
        caller->piece[i - from] = caller->piece[i];
        caller->piece[i] = moved;
    }
    caller->pieces -= from;
}

/* The newest of a call's pieces in which an address is. */
static const struct call_piece *piece_at(const struct caller *caller, uint64_t address, bool text)
{
    for (unsigned i = caller->pieces; i-- > 0;) {
        const struct call_piece *piece = &caller->piece[i];
        uint64_t in = address - piece->address;
        if (piece->text == text && piece->number == caller->number &&
            (in < piece->size || (text && in == 0))) {
            return piece;
        }
    }
    return NULL;
}

static size_t read_piece(void *opaque, uint64_t address, void *to, size_t size)
{
    const struct call_piece *piece = piece_at(opaque, address, false);

    if (!piece) {
        return 0;
    }
    uint64_t in = address - piece->address;
    size_t there = piece->size - in < size ? piece->size - in : size;
    memcpy(to, piece->bytes + in, there);
    return there;
}

static size_t read_text(void *opaque, uint64_t address, void *to, size_t size)
{
    const struct call_piece *piece = piece_at(opaque, address, true);

    if (!piece || piece->address != address) {
        return 0;
    }
    size_t there = piece->size < size ? piece->size : size;
    memcpy(to, piece->bytes, there);
    if (there < size && piece->size < TRACE_STRING_MAX) {
        ((char *)to)[there++] = 0;
    }
    return there;
}

/* --- following --- */

void calls_begin(struct calls *calls)
{
    *calls = (struct calls){.memory = {read_piece, read_text, NULL}};
}

static void tell(struct calls *calls, struct caller *caller, struct call_told *told,
                 enum call_what what)
{
    calls->memory.opaque = caller;
    *told = (struct call_told){
        .what = what,
        .caller = caller,
        .call = {caller->number, caller->inside ? caller->args : NULL, NULL, &calls->memory},
        .began = caller->inside ? caller->began : 0,
    };
}

static void take_call(struct calls *calls, struct caller *caller, const struct call_event *event,
                      const struct trace_record *record, struct call_told *told)
{
    if (caller->inside) { /* it did not come back from the one before */
        drop_pieces(caller, caller->entered);
    }
    caller->inside = true;
    caller->number = record->values[event->num];
    memcpy(caller->args, record->values + event->first, sizeof caller->args);
    caller->began = record->time;
    caller->entered = caller->pieces;
    tell(calls, caller, told, CALL_ASKED);
}

static void take_result(struct calls *calls, struct caller *caller, const struct call_event *event,
                        const struct trace_record *record, struct call_told *told)
{
    uint64_t number = record->values[event->num];

    caller->inside &= caller->number == number;
    caller->number = number;
    tell(calls, caller, told, CALL_DONE);
    told->result = (int64_t)record->values[event->first];
    told->call.result = &told->result;
    told->ended = record->time;
}

void calls_take(struct calls *calls, const struct trace_record *record, struct call_told *told)
{
    const struct call_event *event = event_of(calls, record);

    *told = (struct call_told){.what = CALL_NOTHING};
    for (unsigned i = 0; record->lost && i < calls->callers; i++) {
        calls->caller[i].inside = false;
        calls->caller[i].pieces = 0;
    }
    if (event->kind == CALL_OTHER) {
        return;
    }
    struct caller *caller = caller_of(calls, event, record);
    caller->turn = ++calls->turn;
    if (caller->done) {
        caller->done = caller->inside = false;
        caller->pieces = 0;
    }
    switch (event->kind) {
    case CALL_ENTERS: take_call(calls, caller, event, record, told); break;
    case CALL_RETURNS:
        take_result(calls, caller, event, record, told);
        caller->done = true; /* its pieces are needed until the next record */
        break;
    default: add_piece(caller, event, record); break;
    }
}

bool calls_unfinished(struct calls *calls, struct caller *caller, struct call_told *told)
{
    if (caller->done || !caller->inside) {
        return false;
    }
    tell(calls, caller, told, CALL_ASKED);
    return true;
}
