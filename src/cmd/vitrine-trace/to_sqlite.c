/* SPDX-License-Identifier: MIT
 *
 * An SQLite database: a table `events` with a row for every record, and for each event a table of
 * its name with the arguments,
 *
 *     events(id, time, event, pid, thread)
 *     pci_cfg_read(id, dev, bus, slot, func, offs, val)
 *
 * joined by id, which counts records from 1. SQLite compares names without case and keeps some for
 * itself: a name that is taken gets `_` at its end. Integers are SQLite's signed 64 bits, so
 * unsigned values from 2^63 up appear negative (printf('%x', column) shows the bits).
 *
 * The database is made under a temporary name and takes OUT's place when it is complete.
 */
#include "cmd/vitrine-trace/to.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "cmd/vitrine-trace/text.h"

enum { BATCH_RECORDS = 200000 }; /* records in one transaction */

struct sqlite_event {
    sqlite3_stmt *insert;
    char *table;
    unsigned nargs;
    bool word[TRACE_VALUES_MAX]; /* the argument has a column for its word */
};

struct sink_sqlite {
    struct sink sink;
    sqlite3 *db;
    sqlite3_stmt *insert; /* into events */
    char *path, *temporary;
    bool force;
    struct event_table table;
    char **name; /* tables that exist */
    unsigned nnames;
    int64_t id;
    struct strbuf scratch, words;
    bool failed;
    struct error failure; /* the first one */
};

static bool sqlite_failed(struct sink_sqlite *s)
{
    if (!s->failed) {
        s->failed = true;
        error_set(&s->failure, "%s: SQLite: %s", s->path,
                  s->db != NULL ? sqlite3_errmsg(s->db) : "out of memory");
    }
    return false;
}

static bool sqlite_run(struct sink_sqlite *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK || sqlite_failed(s);
}

static bool sqlite_prepare(struct sink_sqlite *s, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) ==
               SQLITE_OK ||
           sqlite_failed(s);
}

/* `name`, or with `_` added until no row of `taken` equals it without case. free() it. */
static char *sqlite_name(const char *name, char **taken, unsigned ntaken)
{
    char *result = mem_string(name);

    for (unsigned i = 0; i < ntaken; i++) {
        if (sqlite3_stricmp(taken[i], result) == 0) {
            char *longer = mem_format("%s_", result);
            free(result);
            result = longer;
            i = (unsigned)-1; /* from the start */
        }
    }
    return result;
}

static void sqlite_quote(struct strbuf *sql, const char *name)
{
    strbuf_putc(sql, '"');
    for (; *name != '\0'; name++) {
        strbuf_puts(sql, *name == '"' ? "\"\"" : (char[]){*name, '\0'});
    }
    strbuf_putc(sql, '"');
}

/* One more column of a table that is being made; its name goes into `taken`. */
static void sqlite_column(struct strbuf *sql, const char *name, const char *type, char **taken,
                          unsigned *ntaken)
{
    taken[*ntaken] = sqlite_name(name, taken, *ntaken);
    strbuf_puts(sql, ", ");
    sqlite_quote(sql, taken[*ntaken]);
    strbuf_printf(sql, " %s", type);
    (*ntaken)++;
}

static void sqlite_event_free(void *row)
{
    struct sqlite_event *e = row;

    sqlite3_finalize(e->insert);
    free(e->table);
    free(e);
}

/* The table's name: events that SQLite would confuse or refuse get another one. */
static char *sqlite_table_name(struct sink_sqlite *s, const char *event)
{
    char *wanted =
        sqlite3_strnicmp(event, "sqlite_", 7) == 0 ? mem_format("_%s", event) : mem_string(event);
    char *name = sqlite_name(wanted, s->name, s->nnames);

    free(wanted);
    s->name = mem_resize(s->name, s->nnames + 1, sizeof(*s->name));
    s->name[s->nnames++] = mem_string(name);
    return name;
}

/* The first time an event occurs: its table and the statement that fills it. NULL on failure. */
static struct sqlite_event *sqlite_event_new(struct sink_sqlite *s, const struct trace_decl *decl)
{
    struct sqlite_event *e = mem_alloc(sizeof(*e));
    char *taken[2 * TRACE_VALUES_MAX + 1];
    unsigned ntaken = 1;
    struct strbuf sql;

    e->nargs = decl->nargs;
    e->table = sqlite_table_name(s, decl->name);
    taken[0] = mem_string("id");
    strbuf_init(&sql);
    strbuf_puts(&sql, "CREATE TABLE ");
    sqlite_quote(&sql, e->table);
    strbuf_puts(&sql, " (id INTEGER PRIMARY KEY REFERENCES events");
    for (unsigned i = 0; i < decl->nargs; i++) {
        sqlite_column(&sql, decl->arg[i].name,
                      decl->arg[i].kind == TRACE_STRING ? "TEXT" : "INTEGER", taken, &ntaken);
        char *word = word_name(decl, i);
        if (word != NULL) {
            e->word[i] = true;
            sqlite_column(&sql, word, "TEXT", taken, &ntaken);
            free(word);
        }
    }
    strbuf_puts(&sql, ")");
    bool ok = sqlite_run(s, sql.data);

    strbuf_clear(&sql);
    strbuf_puts(&sql, "INSERT INTO ");
    sqlite_quote(&sql, e->table);
    strbuf_puts(&sql, " VALUES (?");
    for (unsigned i = 1; i < ntaken; i++) {
        strbuf_puts(&sql, ",?");
    }
    strbuf_puts(&sql, ")");
    ok = ok && sqlite_prepare(s, sql.data, &e->insert);

    for (unsigned i = 0; i < ntaken; i++) {
        free(taken[i]);
    }
    strbuf_free(&sql);
    if (!ok) {
        sqlite_event_free(e);
        return NULL;
    }
    return e;
}

/* Text stays where it is until the statement ran. */
static void sqlite_bind_text(sqlite3_stmt *statement, int column, const char *text, size_t len)
{
    sqlite3_bind_text(statement, column, text, (int)len, SQLITE_STATIC);
}

static bool sqlite_step(struct sink_sqlite *s, sqlite3_stmt *statement)
{
    bool ok = sqlite3_step(statement) == SQLITE_DONE || sqlite_failed(s);

    sqlite3_reset(statement);
    return ok;
}

/* Binds the arguments and inserts. Several strings of one record may need a change, so texts that
 * do are copied by SQLite. */
static bool sqlite_insert(struct sink_sqlite *s, const struct sqlite_event *e,
                          const struct trace_record *record)
{
    const struct trace_decl *decl = record->decl;
    int column = 1;

    sqlite3_bind_int64(e->insert, column++, s->id);
    for (unsigned i = 0; i < e->nargs; i++) {
        uint64_t value = record->values[i];

        if (decl->arg[i].kind != TRACE_STRING) {
            sqlite3_bind_int64(e->insert, column++, (int64_t)value);
        } else if (value == 0) {
            sqlite3_bind_null(e->insert, column++);
        } else {
            size_t len = record->lengths[i];
            const char *text = text_utf8(&s->scratch, (const char *)(uintptr_t)value, &len);
            sqlite3_bind_text(e->insert, column++, text, (int)len,
                              text == s->scratch.data ? SQLITE_TRANSIENT : SQLITE_STATIC);
        }
        if (e->word[i]) {
            strbuf_clear(&s->words);
            if (record_word(&s->words, record, i)) {
                sqlite3_bind_text(e->insert, column++, s->words.data, (int)s->words.len,
                                  SQLITE_TRANSIENT);
            } else {
                sqlite3_bind_null(e->insert, column++);
            }
        }
    }
    return sqlite_step(s, e->insert);
}

static bool sqlite_create(struct sink_sqlite *s)
{
    static const char *const setup[] = {
        /* Nothing is worth keeping of a database that was not finished. */
        "PRAGMA journal_mode=OFF",
        "PRAGMA synchronous=OFF",
        "PRAGMA locking_mode=EXCLUSIVE",
        ("CREATE TABLE events (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, event TEXT NOT NULL, "
         "pid INTEGER NOT NULL, thread INTEGER NOT NULL)"),
        "BEGIN",
    };

    if (sqlite3_open_v2(s->temporary, &s->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        return sqlite_failed(s);
    }
    for (unsigned i = 0; i < sizeof(setup) / sizeof(setup[0]); i++) {
        if (!sqlite_run(s, setup[i])) {
            return false;
        }
    }
    s->name = mem_resize(NULL, 1, sizeof(*s->name));
    s->name[s->nnames++] = mem_string("events");
    return sqlite_prepare(s, "INSERT INTO events VALUES (?,?,?,?,?)", &s->insert);
}

static void sqlite_free(struct sink_sqlite *s)
{
    event_table_free(&s->table, sqlite_event_free);
    sqlite3_finalize(s->insert);
    sqlite3_close(s->db);
    for (unsigned i = 0; i < s->nnames; i++) {
        free(s->name[i]);
    }
    free(s->name);
    free(s->path);
    free(s->temporary);
    strbuf_free(&s->scratch);
    strbuf_free(&s->words);
    free(s);
}

static struct sink *sqlite_begin(const struct sink_options *options, struct error *err)
{
    if (!options->force && access(options->path, F_OK) == 0) {
        error_set(err, "%s exists: name another file or replace it with --force", options->path);
        return NULL;
    }

    struct sink_sqlite *s = mem_alloc(sizeof(*s));
    s->path = mem_string(options->path);
    s->temporary = mem_format("%s.new-%ld", options->path, (long)getpid());
    s->force = options->force;
    strbuf_init(&s->scratch);
    strbuf_init(&s->words);

    int fd = open(s->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        error_set(err, "%s: cannot be created: %s", s->temporary, strerror(errno));
        sqlite_free(s);
        return NULL;
    }
    close(fd);
    if (!sqlite_create(s)) {
        if (err != NULL) {
            *err = s->failure;
        }
        unlink(s->temporary);
        sqlite_free(s);
        return NULL;
    }
    return &s->sink;
}

static bool sqlite_record(struct sink *sink, const struct trace_record *record)
{
    struct sink_sqlite *s = (struct sink_sqlite *)sink;
    void **slot = event_table_slot(&s->table, record->event);

    if (*slot == NULL) {
        *slot = sqlite_event_new(s, record->decl);
        if (*slot == NULL) {
            return false;
        }
    }
    s->id++;
    sqlite3_bind_int64(s->insert, 1, s->id);
    sqlite3_bind_int64(s->insert, 2, (int64_t)record->time);
    sqlite_bind_text(s->insert, 3, record->decl->name, strlen(record->decl->name));
    sqlite3_bind_int64(s->insert, 4, record->pid);
    sqlite3_bind_int64(s->insert, 5, record->thread);
    if (!sqlite_step(s, s->insert) || !sqlite_insert(s, *slot, record)) {
        return false;
    }
    return s->id % BATCH_RECORDS != 0 || (sqlite_run(s, "COMMIT") && sqlite_run(s, "BEGIN"));
}

/* Gives the database its name. Without --force a file that has appeared there in the meantime
 * stays, as far as the file system can tell. */
static bool sqlite_place(const struct sink_sqlite *s)
{
    if (s->force) {
        return rename(s->temporary, s->path) == 0;
    }
    return renameat2(AT_FDCWD, s->temporary, AT_FDCWD, s->path, RENAME_NOREPLACE) == 0 ||
           (errno == EINVAL && rename(s->temporary, s->path) == 0);
}

static bool sqlite_end(struct sink *sink, struct error *err)
{
    struct sink_sqlite *s = (struct sink_sqlite *)sink;

    sqlite_run(s, "COMMIT");
    event_table_free(&s->table, sqlite_event_free);
    sqlite3_finalize(s->insert);
    s->insert = NULL;
    if (sqlite3_close(s->db) != SQLITE_OK) {
        sqlite_failed(s);
    }
    s->db = NULL;

    bool ok = !s->failed;
    if (ok && !sqlite_place(s)) {
        ok = error_set(&s->failure, "%s: cannot be created: %s", s->path, strerror(errno));
    }
    unlink(s->temporary);
    if (!ok && err != NULL) {
        *err = s->failure;
    }
    sqlite_free(s);
    return ok;
}

const struct sink_format sink_sqlite = {
    .name = "sqlite",
    .summary = "an SQLite database, a table for each event",
    .named = true,
    .begin = sqlite_begin,
    .record = sqlite_record,
    .end = sqlite_end,
};
