/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace: the table of commands, help, and what commands say when something is wrong. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/guess.h"
#include "cmd/vitrine-trace/command.h"

#ifndef VITRINE_VERSION
#define VITRINE_VERSION "(development build)"
#endif

static const struct command *const commands[] = {
    &command_show,  &command_strace,  &command_stats,    &command_filter,
    &command_merge, &command_convert, &command_timeline,
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static int complain(const char *name, const char *format, va_list ap)
{
    /* What was printed before comes before. */
    fflush(stdout);
    fprintf(stderr, "vitrine-trace %s: ", name);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    return 1;
}

int command_failed(const struct command *self, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    complain(self->name, format, ap);
    va_end(ap);
    return 1;
}

int command_usage_error(const struct command *self, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    complain(self->name, format, ap);
    va_end(ap);
    fprintf(stderr, "'vitrine-trace %s --help' tells what is possible.\n", self->name);
    return 2;
}

int command_help(const struct command *self)
{
    printf("usage: vitrine-trace %s %s\n\n%s.\n\n%s", self->name, self->usage, self->summary,
           self->help);
    size_t len = strlen(self->help);
    if (len && self->help[len - 1] != '\n') {
        putchar('\n');
    }
    return 0;
}

static void print_list(FILE *to)
{
    fputs("usage: vitrine-trace COMMAND [OPTION]... FILE...\n\n"
          "Reads recordings of events: QEMU's simple format (versions 0, 2, 3, 4), our CTF\n"
          "directories and flight recordings. \"-\" is standard input; .zst is unpacked.\n\n",
          to);
    for (unsigned i = 0; i < COMMANDS; i++) {
        fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    }
    fputs(
        "\n'vitrine-trace COMMAND --help' tells more, 'vitrine-trace --version' which release this "
        "is.\n",
        to);
}

static const struct command *find(const char *name)
{
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (!strcmp(commands[i]->name, name)) {
            return commands[i];
        }
    }
    return NULL;
}

static int unknown(const char *name)
{
    const struct command *best = NULL;
    unsigned nearest = 3;
    for (unsigned i = 0; i < COMMANDS; i++) {
        const char *known = commands[i]->name;
        unsigned far = guess_distance(name, strlen(name), known, strlen(known));
        if (far < nearest) {
            nearest = far;
            best = commands[i];
        }
    }
    fprintf(stderr, "vitrine-trace: there is no command '%s'", name);
    if (best) {
        fprintf(stderr, " (did you mean '%s'?)", best->name);
    } else if (access(name, F_OK) == 0) {
        fprintf(stderr, " (did you mean 'vitrine-trace show %s'?)", name);
    }
    fputs("; 'vitrine-trace --help' lists them\n", stderr);
    return 2;
}

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        print_list(stderr);
        return 2;
    }
    bool help = !strcmp(name, "help");
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || (help && argc == 2)) {
        print_list(stdout);
        return 0;
    }
    if (!strcmp(name, "--version")) {
        puts("vitrine-trace " VITRINE_VERSION);
        return 0;
    }
    const struct command *command = find(help ? argv[2] : name);
    if (!command) {
        return unknown(help ? argv[2] : name);
    }
    return help ? command_help(command) : command->run(command, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    /* A closed pipe ends the work through output_failed(). */
    signal(SIGPIPE, SIG_IGN);
    int status = run(argc, argv);
    if (fflush(stdout) != 0 && status == 0) {
        perror("vitrine-trace: standard output");
        status = 1;
    }
    return status;
}
