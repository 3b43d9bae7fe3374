/* SPDX-License-Identifier: MIT
 *
 * The engine in system mode: a machine of a little RAM, in which page tables map the scratch memory
 * at the addresses that it has natively, so that the same case runs. Exceptions go through an IDT
 * to a handler that halts; what it finds on its stack is the outcome. One thread.
 */
#ifndef DIFFERENTIAL_SOFT_SIDE_H
#define DIFFERENTIAL_SOFT_SIDE_H

#include <stdbool.h>

#include "generate.h"
#include "machine.h"

struct mem_space;
struct soft_machine;
struct vcpu;

/* What is behind the guest's pages of data. */
enum soft_backing {
    SOFT_RAM,
    SOFT_CODE,   /* RAM that code was made from */
    SOFT_DEVICE, /* registers of a device */
    SOFT_MIXED,  /* each page one of these */
    SOFT_BACKINGS,
};

/* How the case is run. */
struct soft_run {
    enum soft_backing backing;
    bool warm;      /* the TLB knows what the run before has accessed */
    unsigned cpl;   /* 0 or 3 */
    unsigned mixed; /* for SOFT_MIXED: what it is random by */
};

struct soft_machine *soft_new_machine(void);
struct mem_space *soft_space(struct soft_machine *m);
/* The vCPU of an engine whose space that is; in 64-bit mode from now on. */
void soft_connect(struct soft_machine *m, struct vcpu *vcpu);

/* Runs the code at in->rip until it raises an exception. The outcome is as native runs have it, but
 * for si_code. A shutdown of the CPU is told as signal 0. */
void soft_side_run(struct soft_machine *m, const struct soft_run *how, enum scratch_layout layout,
                   const struct machine *in, struct outcome *out);

/* Why this row is not run in system mode, though natively; NULL: it is. */
const char *soft_excluded(const struct x86_row *row);
/* Whether the case means the same at CPL 0. */
bool soft_any_cpl(const struct x86_row *row, const struct test_case *c);

/* Takes from two outcomes what the kernel, not the CPU, makes different. */
void soft_settle(const struct soft_run *how, struct outcome *native, struct outcome *soft);

/* Kinds of difference that no manual rules out. */
unsigned soft_allowed(const struct x86_row *row, const struct outcome *native,
                      const struct outcome *soft);

/* "ram", "warm code, CPL 0" and so on; static. */
const char *soft_run_name(const struct soft_run *how);

#endif
