/* SPDX-License-Identifier: MIT
 *
 * Strings that grow, from memory of their own and from the caller's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"

static void grows(struct strbuf *s)
{
    assert_string_equal(s->data, "");
    for (unsigned i = 0; i < 1000; i++) {
        strbuf_printf(s, "%u,", i % 10);
        assert_int_equal(s->len, 2 * (i + 1));
        assert_int_equal(s->data[s->len], 0);
    }
    assert_memory_equal(s->data, "0,1,2,3,4,5,6,7,8,9,0,", 22);
    strbuf_clear(s);
    assert_string_equal(s->data, "");
    strbuf_puts(s, "a");
    strbuf_putc(s, 'b');
    strbuf_add(s, "cd", 1);
    assert_string_equal(s->data, "abc");
}

static void grows_from_nothing(void **state)
{
    (void)state;
    struct strbuf s;
    strbuf_init(&s);
    grows(&s);
    strbuf_free(&s);
    assert_string_equal(s.data, "");
}

static void begins_in_memory_of_the_callers(void **state)
{
    (void)state;
    char room[16];
    struct strbuf s;
    strbuf_init_in(&s, room, sizeof room);
    strbuf_puts(&s, "123456789012345"); /* just fits */
    assert_ptr_equal(s.data, room);
    strbuf_putc(&s, '6');
    assert_ptr_not_equal(s.data, room);
    assert_string_equal(s.data, "1234567890123456");
    strbuf_free(&s);
    strbuf_init_in(&s, room, sizeof room);
    grows(&s);
    strbuf_free(&s);
    strbuf_init_in(&s, room, 1);
    grows(&s);
    strbuf_free(&s);
}

static void hands_the_text_over(void **state)
{
    (void)state;
    char room[16];
    struct strbuf s;
    for (unsigned i = 0; i < 4; i++) {
        if (i < 2) {
            strbuf_init_in(&s, room, sizeof room);
        } else {
            strbuf_init(&s);
        }
        strbuf_puts(&s, i & 1 ? "text" : "");
        char *text = strbuf_take(&s);
        assert_ptr_not_equal(text, room);
        assert_string_equal(text, i & 1 ? "text" : "");
        assert_string_equal(s.data, "");
        strbuf_putc(&s, 'x');
        assert_string_equal(s.data, "x");
        strbuf_free(&s);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_from_nothing),
        cmocka_unit_test(begins_in_memory_of_the_callers),
        cmocka_unit_test(hands_the_text_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
