/* SPDX-License-Identifier: MIT
 *
 * The monitor without a machine: lines to commands, arguments of all types, expressions, help,
 * completion. The sentences are those that QEMU 7.2's monitor says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "monitor/monitor.h"

/* --- commands that print what they got --- */

static bool show(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    monitor_printf(session, "%u:", arguments->count);
    for (unsigned i = 0; i < MONITOR_VALUES_MAX; i++) {
        const struct monitor_value *value = &arguments->value[i];
        if (value->given && value->word) {
            monitor_printf(session, " [%s]", value->word);
        } else if (value->given) {
            monitor_printf(session, " %llx%s", (unsigned long long)value->number,
                           value->on ? " on" : "");
        }
    }
    monitor_printf(session, "\n");
    return true;
}

static bool show_format(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    monitor_printf(session, "%u %c %u %llx\n", arguments->format.count, arguments->format.letter,
                   arguments->format.size, (unsigned long long)arguments->value[0].number);
    return true;
}

static bool show_flags(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    monitor_printf(session, "a%d b%d %u\n", monitor_flag(arguments, 'a'),
                   monitor_flag(arguments, 'b'), arguments->count);
    return true;
}

static bool refuse(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    monitor_printf(session, "no\n");
    return false;
}

static bool flood(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    for (unsigned i = 0; i < 2 << 20; i++) {
        monitor_printf(session, "0123456789abcde\n");
    }
    return true;
}

static void offer(struct monitor_session *session, unsigned argument, const char *typed)
{
    (void)typed;
    monitor_offer(session, argument ? "second" : "first");
    monitor_offer(session, argument ? "sector" : "fist");
    monitor_offer(session, argument ? "sector" : "fist");
}

static const struct monitor_command commands[] = {
    {"words|w", "one [two]", "two words", "ss?", show, offer},
    {"file", "name", "a file", "F", show, NULL},
    {"save", "addr size file", "numbers and a file", "enF", show, NULL},
    {"switch", "on|off", "a switch", "b", show, NULL},
    {"rest", "text", "the rest", "sS?", show, NULL},
    {"print|p", "/fmt expr", "a value", "/e", show_format, NULL},
    {"flags", "[-a] [-b] [n]", "flags", "-a-bn?", show_flags, NULL},
    {"refuse", NULL, "refuses", NULL, refuse, NULL},
    {"flood", NULL, "prints much", NULL, flood, NULL},
    {"stop|s", NULL, "hides nothing", NULL, show, NULL},
    {"stopcapture", NULL, "begins like another", NULL, show, NULL},
};

static const struct monitor_command info[] = {
    {"things", "[n]", "show things", "n?", show, NULL},
    {"thick", NULL, "show what is thick", NULL, show, NULL},
};

static bool read_register(struct monitor_session *session, const char *name, uint64_t *value)
{
    (void)session;
    *value = !strcmp(name, "cs.base") ? 0xf0000 : 0x1234;
    return !strcmp(name, "rip") || !strcmp(name, "cs.base");
}

static struct monitor *monitor;
static struct monitor_session *session;

static int open_session(void **state)
{
    (void)state;
    monitor = monitor_new("Vitrine 1.2");
    monitor_add(monitor, MONITOR_MAIN, commands, sizeof commands / sizeof commands[0]);
    monitor_add(monitor, MONITOR_INFO, info, sizeof info / sizeof info[0]);
    monitor_set_registers(monitor, read_register);
    session = monitor_session_new(monitor);
    return 0;
}

static int close_session(void **state)
{
    (void)state;
    monitor_session_free(session);
    monitor_free(monitor);
    return 0;
}

/* The answer to a line; good until the next. */
static const char *ask(const char *line)
{
    strbuf_clear(monitor_answer(session));
    monitor_execute(session, line);
    return monitor_answer(session)->data;
}

struct exchange {
    const char *line, *answer;
};

static void check_all(const struct exchange *exchanges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *answer = ask(exchanges[i].line);
        if (strcmp(answer, exchanges[i].answer) != 0) {
            fail_msg("'%s': '%s', not '%s'", exchanges[i].line, answer, exchanges[i].answer);
        }
    }
}

#define CHECK(exchanges) check_all(exchanges, sizeof(exchanges) / sizeof((exchanges)[0]))
#define TRY(name)        "Try \"help " name "\" for more information\n"

/* --- lines --- */

static void names_are_found(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"", ""},
        {"  \t ", ""},
        {"words a", "1: [a]\n"},
        {"w a", "1: [a]\n"},
        {"wor a", "1: [a]\n"},
        {"foo", "unknown command: 'foo'\n"},
        {"/", "unknown command: '/'\n"},
        {"words/3 a", "2: [/3] [a]\n"},
        {"s", "0:\n"},
        {"stop", "0:\n"},
        {"stopc", "0:\n"},
        {"sto", "ambiguous command: 'sto' could be stop stopcapture\n"},
        {"info foo", "unknown command: 'info foo'\n"},
        {"info thin", "0:\n"},
        {"info thi", "ambiguous command: 'info thi' could be thick things\n"},
        {"refuse", "no\n" TRY("refuse")},
        {"ref", "no\n" TRY("refuse")},
    };
    CHECK(exchanges);
}

static void arguments_are_checked(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"words", "words|w: string expected\n" TRY("words")},
        {"words a b", "2: [a] [b]\n"},
        {"words a b c", "words|w: extraneous characters at the end of line\n" TRY("words")},
        {"w \"a b\" \"c\\\\\\\"\\n\"", "2: [a b] [c\\\"\n]\n"},
        {"w \"a", "unterminated string\nwords|w: string expected\n" TRY("w")},
        {"w \"\\q\"", "unsupported escape code: '\\q'\nwords|w: string expected\n" TRY("w")},
        {"file", "file: filename expected\n" TRY("file")},
        {"switch on", "1: 0 on\n"},
        {"switch off ", "1: 0\n"},
        {"switch", "Expected 'on' or 'off'\n" TRY("switch")},
        {"switch onn", "Expected 'on' or 'off'\n" TRY("switch")},
        {"rest a  b c ", "2: [a] [b c]\n"},
        {"rest a \"b c\" ", "2: [a] [b c]\n"},
        {"rest a \"b\" == \"c\"", "2: [a] [\"b\" == \"c\"]\n"},
        {"rest a", "1: [a]\n"},
        {"save 1 2 /tmp/x", "3: 1 2 [/tmp/x]\n"},
        {"save 8 4 / 2 x", "3: 8 2 [x]\n"},
        {"save 1 -1 x", "invalid char 'x' in expression\n" TRY("save")},
        {"save 1 (-1) x", "'save' has failed: integer is for 32-bit values\n" TRY("save")},
        {"save 1", "unexpected end of expression\n" TRY("save")},
        {"flags", "a0 b0 0\n"},
        {"flags -a", "a1 b0 0\n"},
        {"flags -b -a 7", "a1 b1 1\n"},
        {"flags -ab", "a1 b1 0\n"},
        {"flags -c", "flags: unsupported option -c\n" TRY("flags")},
        {"info things 1 2",
         "things: extraneous characters at the end of line\n" TRY("info things")},
    };
    CHECK(exchanges);
}

static void formats_stay(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"p 1", "1 x 4 1\n"},
        {"p/d 1", "1 d 4 1\n"},
        {"p 1", "1 d 4 1\n"},
        {"p /10xg 2", "10 x 8 2\n"},
        {"p 2", "1 x 8 2\n"},
        {"p/c 2", "1 c 8 2\n"},
        {"p/0b 2", "0 c 1 2\n"},
        {"p/ 2", "1 c 1 2\n"},
        {"p/z 1", "invalid char in format: 'z'\n" TRY("p")},
        {"p/99999999999 1", "4294967295 c 1 1\n"},
    };
    CHECK(exchanges);
}

/* What QEMU 7.2 prints for the same, in hexadecimal. */
static void expressions_are_those_of_qemu(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"p 0x10 + 2*3", "1 x 4 16\n"},
        {"p -1", "1 x 4 ffffffffffffffff\n"},
        {"p (1+2)*3", "1 x 4 9\n"},
        {"p 7&3|8^1", "1 x 4 a\n"},
        {"p 4|1+2", "1 x 4 7\n"},
        {"p 10%3", "1 x 4 1\n"},
        {"p 8/3*3", "1 x 4 6\n"},
        {"p -6/2", "1 x 4 fffffffffffffffd\n"},
        {"p -9223372036854775807-1", "1 x 4 8000000000000000\n"},
        {"p (-9223372036854775807-1)/-1", "1 x 4 8000000000000000\n"},
        {"p (-9223372036854775807-1)%-1", "1 x 4 0\n"},
        {"p ~-~-5", "1 x 4 3\n"},
        {"p 'a'", "1 x 4 61\n"},
        {"p 010", "1 x 4 8\n"},
        {"p $rip+$cs.base", "1 x 4 f1234\n"},
        {"p 0xffffffffffffffff", "1 x 4 ffffffffffffffff\n"},
        {"p", "unexpected end of expression\n" TRY("p")},
        {"p 1+", "unexpected end of expression\n" TRY("p")},
        {"p 1 2", "print|p: extraneous characters at the end of line\n" TRY("p")},
        {"p 1<<4", "print|p: extraneous characters at the end of line\n" TRY("p")},
        {"p 08", "print|p: extraneous characters at the end of line\n" TRY("p")},
        {"p *5", "invalid char '*' in expression\n" TRY("p")},
        {"p 1 + (2", "')' expected\n" TRY("p")},
        {"p 'ab", "missing terminating ' character\n" TRY("p")},
        {"p '", "missing terminating ' character\n" TRY("p")},
        {"p $", "unknown register\n" TRY("p")},
        {"p $foo", "unknown register\n" TRY("p")},
        {"p 5/0", "division by zero\n" TRY("p")},
        {"p 5 % (1-1)", "division by zero\n" TRY("p")},
        {"p 99999999999999999999", "number too large\n" TRY("p")},
    };
    CHECK(exchanges);
}

static void long_and_deep_lines_are_refused(void **state)
{
    (void)state;
    char *line = malloc(MONITOR_LINE_MAX + 2);
    memset(line, '(', MONITOR_LINE_MAX + 1);
    line[MONITOR_LINE_MAX + 1] = 0;
    assert_string_equal(ask(line), "the line has more than 4096 bytes\n");
    line[0] = 'p';
    line[1] = ' ';
    line[MONITOR_LINE_MAX] = 0;
    assert_string_equal(ask(line), "an expression is nested at most 64 deep\n" TRY("p"));
    memset(line + 2, '-', MONITOR_LINE_MAX - 2);
    assert_string_equal(ask(line), "an expression is nested at most 64 deep\n" TRY("p"));
    free(line);
}

static void answers_have_an_end(void **state)
{
    (void)state;
    ask("flood");
    const struct strbuf *answer = monitor_answer(session);
    assert_in_range(answer->len, MONITOR_ANSWER_MAX, MONITOR_ANSWER_MAX + 100);
    assert_non_null(strstr(answer->data + MONITOR_ANSWER_MAX - 20, "the answer is cut here"));
    assert_string_equal(ask("stop"), "0:\n");
}

static void help_is_given(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"help words", "words|w one [two] -- two words\n"},
        {"? stop", "stop|s  -- hides nothing\n"},
        {"help sto", "stop|s  -- hides nothing\nstopcapture  -- begins like another\n"},
        {"help foo", "unknown command: 'foo'\n"},
        {"help info things", "info things [n] -- show things\n"},
        {"help info foo", "unknown command: 'info foo'\n"},
        {"info version", "Vitrine 1.2\n"},
    };
    CHECK(exchanges);
    const char *all = ask("help");
    const char *file = strstr(all, "file name -- a file\n"), *flags = strstr(all, "flags [-a]");
    assert_non_null(file);
    assert_true(flags > file); /* sorted */
    assert_non_null(strstr(all, "help|? [command] -- show the help\n"));
    char *topics = strdup(ask("info"));
    assert_string_equal(topics, ask("help info"));
    assert_non_null(strstr(topics, "info trace-events [name] -- "));
    free(topics);
    assert_non_null(strstr(ask("help log"), "trace:PATTERN   enable trace events\n"));
    assert_non_null(strstr(ask("log help"), "none            remove all logs\n"));
    monitor_greet(session);
    assert_non_null(strstr(monitor_answer(session)->data,
                           "Vitrine 1.2 monitor - type 'help' for more information\n"));
}

static void later_commands_hide_earlier_ones(void **state)
{
    (void)state;
    static const struct monitor_command other[] = {
        {"words", NULL, "others", NULL, show_flags, NULL}};
    monitor_add(monitor, MONITOR_MAIN, other, 1);
    assert_string_equal(ask("help words"), "words  -- others\n");
    assert_string_equal(ask("words"), "a0 b0 0\n");
    assert_string_equal(ask("quit"), "");
    assert_true(monitor_has_quit(session));
}

/* --- completion --- */

static void check_words(const char *line, const char *expected)
{
    struct monitor_words words;
    struct strbuf text;

    monitor_complete(session, line, &words);
    strbuf_init(&text);
    strbuf_printf(&text, "%zu", words.start);
    for (size_t i = 0; i < words.count; i++) {
        strbuf_printf(&text, " %s", words.word[i]);
    }
    monitor_words_free(&words);
    if (strcmp(text.data, expected) != 0) {
        fail_msg("'%s': '%s', not '%s'", line, text.data, expected);
    }
    strbuf_free(&text);
}

static void words_are_completed(void **state)
{
    (void)state;
    check_words("fl", "0 flags flood");
    check_words("  sto", "2 stop stopcapture");
    check_words("x", "0");
    check_words("info th", "5 thick things");
    check_words("help fl", "5 flags flood");
    check_words("help info t", "10 thick things trace-events");
    check_words("w f", "2 first fist");
    check_words("words fi sec", "9 second sector");
    check_words("words a b s", "10");
    check_words("switch ", "7 off on");
    check_words("nosuch f", "7");
    check_words("trace-file fl", "11 flush");
    struct monitor_words words;
    monitor_complete(session, "fl", &words);
    assert_int_equal(monitor_words_common(&words), 2);
    char *columns = monitor_words_columns(&words);
    assert_string_equal(columns, "flags  flood\n");
    free(columns);
    monitor_words_free(&words);
}

static void files_are_completed(void **state)
{
    (void)state;
    char folder[] = "/tmp/monitor-test-XXXXXX", path[64], line[80], expected[160];

    assert_non_null(mkdtemp(folder));
    static const char *const names[] = {"ab", "ac", ".hidden"};
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        fclose(fopen(path, "w"));
    }
    snprintf(line, sizeof line, "file %s/a", folder);
    snprintf(expected, sizeof expected, "5 %s/ab %s/ac", folder, folder);
    check_words(line, expected);
    snprintf(line, sizeof line, "save 1 2 %s/.h", folder);
    snprintf(expected, sizeof expected, "9 %s/.hidden", folder);
    check_words(line, expected);
    snprintf(line, sizeof line, "file %.*s", (int)strlen(folder) - 1, folder);
    snprintf(expected, sizeof expected, "5 %s/", folder);
    check_words(line, expected);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_session, close_session)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_found),
        TEST(arguments_are_checked),
        TEST(formats_stay),
        TEST(expressions_are_those_of_qemu),
        TEST(long_and_deep_lines_are_refused),
        TEST(answers_have_an_end),
        TEST(help_is_given),
        TEST(later_commands_hide_earlier_ones),
        TEST(words_are_completed),
        TEST(files_are_completed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
