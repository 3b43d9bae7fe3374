/* SPDX-License-Identifier: MIT
 *
 * libedit without a terminal of its own. It insists on descriptors that are a terminal, to set
 * modes on and to ask for the width: it gets a pseudo terminal that nobody else has. Characters it
 * reads through a function, and what it writes goes to a stream of ours. Unbuffered, a call handles
 * one key; so it is only called when all bytes of a key are there. Arrow keys and their like become
 * control characters before it sees them, whatever terminal it is. */
#include "monitor/machine/edit.h"

#include <fcntl.h>
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "monitor/monitor.h"

enum {
    INPUT_MAX = 4096,
    HISTORY_MAX = 200,
    KEY_MAX = 16, /* bytes of an escape sequence */
    ESCAPE = 27,
    COLUMNS = 80,
    ROWS = 24,
};

struct editor {
    EditLine *el;
    HistoryW *history;
    const char *prompt;
    struct editor_user user;
    int master, slave; /* -1: none */
    FILE *out, *quiet;
    char last; /* character written: LF becomes CR LF */
    bool started, running;
    uint8_t input[INPUT_MAX];
    size_t count;
    wchar_t key[KEY_MAX]; /* of the key that is handled */
    unsigned keys, key_next;
};

/* --- what libedit calls --- */

static ssize_t write_out(void *cookie, const char *bytes, size_t count)
{
    struct editor *editor = cookie;
    struct strbuf text;

    strbuf_init(&text);
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\n' && editor->last != '\r') {
            strbuf_putc(&text, '\r');
        }
        editor->last = bytes[i];
        strbuf_putc(&text, bytes[i]);
    }
    editor->user.write(editor->user.opaque, text.data, text.len);
    strbuf_free(&text);
    return (ssize_t)count;
}

static ssize_t write_nowhere(void *cookie, const char *bytes, size_t count)
{
    (void)cookie, (void)bytes;
    return (ssize_t)count;
}

static struct editor *editor_of(EditLine *el)
{
    struct editor *editor = NULL;

    el_get(el, EL_CLIENTDATA, &editor);
    return editor;
}

static int read_key(EditLine *el, wchar_t *to)
{
    struct editor *editor = editor_of(el);

    if (editor->key_next == editor->keys) {
        return 0;
    }
    *to = editor->key[editor->key_next++];
    return 1;
}

static char *show_prompt(EditLine *el)
{
    return (char *)editor_of(el)->prompt; // NOLINT: it is only read
}

/* --- text --- */

/* UTF-8 of a wide string of `count` characters. */
static char *narrow(const wchar_t *wide, size_t count)
{
    struct strbuf text;

    strbuf_init(&text);
    for (size_t i = 0; i < count; i++) {
        uint32_t c = (uint32_t)wide[i];
        if (c < 0x80) {
            strbuf_putc(&text, (char)c);
        } else if (c < 0x800) {
            strbuf_putc(&text, (char)(0xc0 | c >> 6));
        } else if (c < 0x10000) {
            strbuf_putc(&text, (char)(0xe0 | c >> 12));
            strbuf_putc(&text, (char)(0x80 | (c >> 6 & 0x3f)));
        } else {
            strbuf_putc(&text, (char)(0xf0 | (c >> 18 & 7)));
            strbuf_putc(&text, (char)(0x80 | (c >> 12 & 0x3f)));
            strbuf_putc(&text, (char)(0x80 | (c >> 6 & 0x3f)));
        }
        if (c >= 0x80) {
            strbuf_putc(&text, (char)(0x80 | (c & 0x3f)));
        }
    }
    return strbuf_take(&text);
}

/* Bytes of the character that begins with `lead`; 0: none begins so. */
static unsigned character_size(uint8_t lead)
{
    return lead < 0x80   ? 1
           : lead < 0xc2 ? 0
           : lead < 0xe0 ? 2
           : lead < 0xf0 ? 3
           : lead < 0xf5 ? 4
                         : 0;
}

/* A character of `size` bytes; L'?': it is none. */
static wchar_t widen(const uint8_t *bytes, unsigned size)
{
    uint32_t c = size == 1 ? bytes[0] : bytes[0] & (0x7fu >> size);

    for (unsigned i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return L'?';
        }
        c = c << 6 | (bytes[i] & 0x3f);
    }
    return size ? (wchar_t)c : L'?';
}

/* --- completion --- */

static void insert(struct editor *editor, const char *text, size_t count)
{
    wchar_t *wide = mem_alloc((count + 1) * sizeof *wide);
    size_t n = 0;

    for (size_t i = 0; i < count; n++) {
        unsigned size = character_size((uint8_t)text[i]);
        size = size && size <= count - i ? size : 0;
        wide[n] = widen((const uint8_t *)text + i, size);
        i += size ? size : 1;
    }
    el_winsertstr(editor->el, wide);
    free(wide);
}

static unsigned char complete(EditLine *el, int key)
{
    struct editor *editor = editor_of(el);
    const LineInfoW *line = el_wline(el);
    char *text = narrow(line->buffer, (size_t)(line->cursor - line->buffer));
    struct monitor_words words = {0};
    unsigned char result = CC_REFRESH;

    (void)key;
    editor->user.complete(editor->user.opaque, text, &words);
    size_t typed = strlen(text) - words.start, length = monitor_words_common(&words);
    if (!words.count) {
        result = CC_REFRESH_BEEP;
    } else if (length > typed) {
        insert(editor, words.word[0] + typed, length - typed);
    }
    if (words.count == 1 && words.word[0][length - 1] != '/') {
        insert(editor, " ", 1);
    } else if (words.count > 1 && length == typed) {
        char *list = monitor_words_columns(&words);
        fprintf(editor->out, "\n%s", list);
        fflush(editor->out);
        free(list);
        result = CC_REDISPLAY;
    }
    monitor_words_free(&words);
    free(text);
    return result;
}

/* --- keys --- */

/* Control characters for the keys of terminals: ESC [ A, ESC O A, ESC [ 3 ~ and so on. 0: no such
 * key. */
static wchar_t control_for(char final, unsigned number)
{
    static const struct {
        char final;
        uint8_t number;
        char control;
    } keys[] = {{'A', 0, 'P'}, {'B', 0, 'N'}, {'C', 0, 'F'}, {'D', 0, 'B'},
                {'H', 0, 'A'}, {'F', 0, 'E'}, {'~', 1, 'A'}, {'~', 7, 'A'},
                {'~', 4, 'E'}, {'~', 8, 'E'}, {'~', 3, 'D'}};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].final == final && (final != '~' || keys[i].number == number)) {
            return keys[i].control & 31;
        }
    }
    return 0;
}

/* An escape sequence: its length, 0 if it is not all there yet. */
static size_t take_escape(struct editor *editor)
{
    const uint8_t *in = editor->input;
    unsigned number = 0;
    size_t i = 2;

    if (editor->count < 2) {
        return 0;
    }
    if (in[1] != '[' && in[1] != 'O') { /* Meta and a key */
        editor->key[editor->keys++] = ESCAPE;
        editor->key[editor->keys++] = in[1] & 0x7f;
        return 2;
    }
    while (i < editor->count && i < KEY_MAX && in[i] < 0x40) {
        number = in[i] >= '0' && in[i] <= '9' ? number * 10 + in[i] - '0' : number;
        i++;
    }
    if (i == KEY_MAX) {
        return i; /* no key that we know */
    }
    if (i == editor->count) {
        return 0;
    }
    wchar_t control = control_for((char)in[i], number);
    if (control) {
        editor->key[editor->keys++] = control;
    }
    return i + 1;
}

/* Takes the next key from what was typed; false: it is not all there. The key may be none at all.
 */
static bool take_key(struct editor *editor)
{
    size_t used;

    editor->keys = editor->key_next = 0;
    if (!editor->count) {
        return false;
    }
    if (editor->input[0] == ESCAPE) {
        used = take_escape(editor);
    } else {
        unsigned size = character_size(editor->input[0]);
        used = size ? size : 1;
        if (used > editor->count) {
            return false;
        }
        if (editor->input[0]) {
            editor->key[editor->keys++] = widen(editor->input, size);
        }
    }
    editor->count -= used;
    memmove(editor->input, editor->input + used, editor->count);
    return used;
}

static void end_line(struct editor *editor, const wchar_t *wide, size_t count)
{
    char *text = narrow(wide, count);
    HistEventW event;

    if (text[strspn(text, " \t")]) {
        history_w(editor->history, &event, H_ENTER, wide);
    }
    editor_stop(editor);
    editor->user.line(editor->user.opaque, text);
    free(text);
}

static void handle_key(struct editor *editor)
{
    int count = 0;
    const wchar_t *line;

    while (editor->started && editor->key_next < editor->keys) {
        line = el_wgets(editor->el, &count);
        if (line && count > 0 && (line[count - 1] == L'\n' || line[count - 1] == L'\r')) {
            wchar_t *copy = mem_alloc((size_t)count * sizeof *copy);
            memcpy(copy, line, ((size_t)count - 1) * sizeof *copy);
            end_line(editor, copy, (size_t)count - 1);
            free(copy);
        }
    }
}

static void run(struct editor *editor)
{
    if (editor->running) {
        return; /* editor_start() within line(): whoever called goes on */
    }
    editor->running = true;
    while (editor->started && take_key(editor)) {
        handle_key(editor);
    }
    editor->running = false;
}

/* --- the editor --- */

void editor_feed(struct editor *editor, const uint8_t *bytes, size_t count)
{
    size_t room = editor_room(editor);

    count = count < room ? count : room;
    memcpy(editor->input + editor->count, bytes, count);
    editor->count += count;
    run(editor);
}

size_t editor_room(const struct editor *editor)
{
    return INPUT_MAX - editor->count;
}

/* The width may be another one than last time. */
static void fit(struct editor *editor)
{
    struct winsize size = {.ws_row = ROWS, .ws_col = COLUMNS}, real;

    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &real) && real.ws_col && real.ws_row) {
        size = real;
    }
    ioctl(editor->slave, TIOCSWINSZ, &size);
    el_resize(editor->el);
}

void editor_start(struct editor *editor)
{
    if (!editor->started) {
        editor->started = true;
        fit(editor);
        el_set(editor->el, EL_UNBUFFERED, 1); /* shows the prompt */
        fflush(editor->out);
        run(editor);
    }
}

void editor_stop(struct editor *editor)
{
    if (editor->started) {
        editor->started = false;
        el_set(editor->el, EL_UNBUFFERED, 0);
        el_reset(editor->el);
    }
}

void editor_forget(struct editor *editor)
{
    editor_stop(editor);
    editor->count = editor->keys = editor->key_next = 0;
}

bool editor_is_started(const struct editor *editor)
{
    return editor->started;
}

static bool open_terminal(struct editor *editor)
{
    char name[64];

    editor->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (editor->master < 0 || grantpt(editor->master) || unlockpt(editor->master) ||
        ptsname_r(editor->master, name, sizeof name)) {
        return false;
    }
    editor->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return editor->slave >= 0;
}

/* Commands that read further keys by themselves, or mean signals, have no place here. */
static void bind_keys(EditLine *el)
{
    static const char *const keys[][2] = {
        {"^I", "monitor-complete"},       {"^R", "ed-search-prev-history"},
        {"^S", "ed-search-next-history"}, {"^C", "em-kill-line"},
        {"^D", "ed-delete-next-char"},    {"^V", "ed-insert"},
        {"^Z", "ed-unassigned"},          {"^Q", "ed-unassigned"},
        {"^O", "ed-unassigned"},          {"^[x", "ed-unassigned"},
        {"^[X", "ed-unassigned"},         {"^[^L", "ed-unassigned"},
        {"^W", "ed-delete-prev-word"},    {"^U", "em-kill-line"},
    };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        el_set(el, EL_BIND, keys[i][0], keys[i][1], NULL);
    }
}

static bool open_editor(struct editor *editor)
{
    HistEventW event;

    editor->out = fopencookie(editor, "w", (cookie_io_functions_t){.write = write_out});
    editor->quiet = fopencookie(editor, "w", (cookie_io_functions_t){.write = write_nowhere});
    if (!editor->out || !editor->quiet || !open_terminal(editor)) {
        return false;
    }
    editor->el = el_init_fd("vitrine", stdin, editor->out, editor->quiet, editor->slave,
                            editor->slave, editor->slave);
    editor->history = history_winit();
    if (!editor->el || !editor->history) {
        return false;
    }
    history_w(editor->history, &event, H_SETSIZE, HISTORY_MAX);
    history_w(editor->history, &event, H_SETUNIQUE, 1);
    el_set(editor->el, EL_CLIENTDATA, editor);
    el_set(editor->el, EL_SIGNAL, 0);
    el_set(editor->el, EL_EDITOR, "emacs");
    el_set(editor->el, EL_PROMPT, show_prompt);
    el_wset(editor->el, EL_GETCFN, read_key);
    el_wset(editor->el, EL_HIST, history_w, editor->history);
    el_wset(editor->el, EL_ADDFN, L"monitor-complete", L"what may follow", complete); /* kept */
    bind_keys(editor->el);
    return true;
}

struct editor *editor_new(const char *prompt, const struct editor_user *user)
{
    struct editor *editor = mem_alloc(sizeof *editor);

    editor->prompt = prompt;
    editor->user = *user;
    editor->master = editor->slave = -1;
    if (!open_editor(editor)) {
        editor_free(editor);
        return NULL;
    }
    return editor;
}

void editor_free(struct editor *editor)
{
    if (!editor) {
        return;
    }
    if (editor->el) {
        el_end(editor->el);
    }
    if (editor->history) {
        history_wend(editor->history);
    }
    if (editor->out) {
        fclose(editor->out);
    }
    if (editor->quiet) {
        fclose(editor->quiet);
    }
    if (editor->slave >= 0) {
        close(editor->slave);
    }
    if (editor->master >= 0) {
        close(editor->master);
    }
    free(editor);
}
