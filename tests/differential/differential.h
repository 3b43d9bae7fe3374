/* SPDX-License-Identifier: MIT
 *
 * What the parts of the program share: what is run, how, and what came of it.
 */
#ifndef DIFFERENTIAL_DIFFERENTIAL_H
#define DIFFERENTIAL_DIFFERENTIAL_H

#include "base/strbuf.h"
#include "compare.h"
#include "generate.h"

enum kind { KIND_ROW, KIND_UNDEFINED, KIND_PROGRAM };

/* What is run: one row in one form, or code of another kind. */
struct item {
    char name[48];
    enum kind kind;
    const struct x86_row *row;
    bool memory;
};

struct tally {
    uint32_t cases, faults, failures, crashes, hangs, unmet;
    uint32_t different[COMPARE_KINDS];
};

struct shared {
    uint32_t item, number; /* the case that runs now */
    uint32_t progress;     /* goes up */
    bool done;
    struct tally tally[];
};

struct settings {
    uint64_t seed;
    const char *row;
    const char *cpu; /* as -cpu of vitrine-user has it; NULL: max */
    unsigned cases;
    int64_t only;     /* this case alone; -1: all */
    int side;         /* set of switches; -1: every one */
    unsigned show;    /* failing cases to print for each item */
    unsigned ignore;  /* kinds of difference that do not fail */
    bool native_only; /* the real CPU against itself */
    bool soft;        /* the engine in system mode */
    bool probes;      /* with guest probes, and told_judge() */
    bool list, coverage, verbose;
};

extern struct settings settings;
extern struct shared *shared;
extern struct item *items;
extern unsigned item_count;

/* items.c: fills `items` with what settings.row asks for. */
void items_make(void);
/* Prints the rows that are not run, and why. */
void items_print_excluded(void);

/* one_case.c: maps memory and makes a child ready. */
void one_case_open(void);
void one_case(const struct item *item, uint32_t number, struct tally *tally);
/* Adds the command line that repeats a case. */
void one_case_print_how(struct strbuf *out, const struct item *item, uint32_t number,
                        unsigned side);

#endif
