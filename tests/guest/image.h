/* SPDX-License-Identifier: MIT
 *
 * For programs that are linked in different ways: start-up, relocation and what libc needs of them.
 * The source that includes this gives the kind of link in its first line. */
#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <time.h>

#include "expect.h"

extern char __ehdr_start[], _end[];

static int constructed;
static __thread int thread_local = 41;
static __thread char zeroed[5000];
static int *pointer_to_data = &constructed;          /* a relocation in data */
static int (*const function_pointer)(int) = isalpha; /* one to a library */

__attribute__((constructor)) static void construct(void)
{
    constructed += 7;
}

static void at_exit(void)
{
    puts("at exit");
}

static int chosen_one(void)
{
    return 1234;
}

__attribute__((used)) static int (*choose(void))(void)
{
    return chosen_one;
}

int chosen(void) __attribute__((ifunc("choose"))); /* resolved at start-up */

static void *in_thread(void *opaque)
{
    EXPECT_SAME(thread_local, 41);
    thread_local = 5;
    zeroed[4999] = 1;
    errno = 77;
    return opaque;
}

static int image_main(int argc, char **argv)
{
    EXPECT(argc >= 1 && argv[argc] == NULL);
    EXPECT_SAME(constructed, 7);
    EXPECT(*pointer_to_data == 7 && function_pointer('x'));
    EXPECT_SAME(chosen(), 1234);
    EXPECT_SAME(thread_local ++, 41);
    EXPECT_SAME(zeroed[4999], 0);
    EXPECT(!memcmp(__ehdr_start, "\177ELF", 4) && (char *)&constructed < _end);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        void *result = NULL;
        errno = 3;
        EXPECT_OR_END(pthread_create(&thread, NULL, in_thread, &result) == 0);
        EXPECT(pthread_join(thread, &result) == 0 && result == &result);
        EXPECT(errno == 3 && thread_local == 42 && zeroed[4999] == 0);
    }
    char text[200];
    volatile double third = 1.0 / 3, two = 2;
    snprintf(text, sizeof text, "%.17g %a %Lg %s %5d|%-5s|%zu", third, third, (long double)third,
             "x", 42, "ab", sizeof text);
    EXPECT_THAT(
        !strcmp(text, "0.33333333333333331 0x1.5555555555555p-2 0.333333 x    42|ab   |200"),
        "printf gave %s", text);
    EXPECT(strtod("1e-320", NULL) == 1e-320 && pow(two, 10) == 1024 && sin(third) > 0.327);
    char *copy = malloc(100000);
    memset(copy, 'q', 100000);
    copy[99999] = 0;
    EXPECT_SAME(strlen(copy), 99999);
    EXPECT(memchr(copy, 0, 100000) == copy + 99999 && strchr(copy, 'r') == NULL);
    free(copy);
    EXPECT(setlocale(LC_ALL, "C"));
    time_t epoch = 86400;
    EXPECT(gmtime(&epoch)->tm_mday == 2);
    atexit(at_exit);
    return expect_done();
}
