/* SPDX-License-Identifier: MIT
 *
 * Options of commands, from a table.
 */
#include "cmd/vitrine-trace/flags.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static void flag_list_add(struct flag_list *list, const char *text)
{
    list->row = mem_resize(list->row, list->count + 1, sizeof(*list->row));
    list->row[list->count++] = text;
}

void flag_list_free(struct flag_list *list)
{
    free(list->row);
    *list = (struct flag_list){0};
}

/* The row that `arg` names. `value` becomes what follows inside the same argument, or NULL. */
static const struct flag *flag_find(const struct flag *flag, unsigned nflags, const char *arg,
                                    const char **value)
{
    bool is_long = arg[1] == '-';
    size_t len = strcspn(arg + 2, "=");

    for (unsigned i = 0; i < nflags; i++) {
        if (is_long && strlen(flag[i].name) == len && memcmp(flag[i].name, arg + 2, len) == 0) {
            *value = arg[2 + len] == '=' ? arg + 2 + len + 1 : NULL;
            return &flag[i];
        }
        if (!is_long && flag[i].letter != 0 && flag[i].letter == arg[1]) {
            *value = arg[2] != '\0' ? arg + 2 : NULL;
            return &flag[i];
        }
    }
    return NULL;
}

/* Stores one option. False after a complaint. */
static bool flag_store(const struct command *self, const struct flag *flag, const char *arg,
                       const char *value)
{
    if (flag->on != NULL) {
        if (value != NULL) {
            command_usage_error(self, "%s takes no value", arg);
            return false;
        }
        *flag->on = true;
        return true;
    }
    if (value == NULL) {
        command_usage_error(self, "%s needs a value", arg);
        return false;
    }
    if (flag->list != NULL) {
        flag_list_add(flag->list, value);
    } else if (*flag->text != NULL) {
        command_usage_error(self, "--%s is given twice", flag->name);
        return false;
    } else {
        *flag->text = value;
    }
    return true;
}

bool flags_parse(const struct command *self, int argc, char **argv, const struct flag *flag,
                 unsigned nflags, struct flag_list *operands, int *status)
{
    bool options = true;

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value = NULL;

        if (!options || arg[0] != '-' || arg[1] == '\0') {
            flag_list_add(operands, arg);
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            options = false;
            continue;
        }
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            *status = command_help(self);
            return false;
        }

        const struct flag *found = flag_find(flag, nflags, arg, &value);
        if (found == NULL) {
            *status = command_usage_error(self, "unknown option %s", arg);
            return false;
        }
        if (found->on == NULL && value == NULL && i + 1 < argc) {
            value = argv[++i];
        }
        if (!flag_store(self, found, arg, value)) {
            *status = 2;
            return false;
        }
    }
    return true;
}
