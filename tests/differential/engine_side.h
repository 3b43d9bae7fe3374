/* SPDX-License-Identifier: MIT
 *
 * Our engine: one for each set of switches, made when first used. One thread.
 */
#ifndef DIFFERENTIAL_ENGINE_SIDE_H
#define DIFFERENTIAL_ENGINE_SIDE_H

#include <stdint.h>

#include "base/error.h"
#include "guest/x86/x86.h"
#include "machine.h"
#include "soft_side.h"

/* Number of sets of switches, and their names: "none", "nochain" and so on. */
unsigned engine_side_count(void);
const char *engine_side_name(unsigned number);

/* In system mode from now on: engine_side_run_soft(). Before all others. */
void engine_side_soft(void);
bool engine_side_is_soft(void);

/* Which CPU the guest has, as -cpu has it; NULL: max. Once, before all others. False with a
 * sentence where there is no such model. */
bool engine_side_model(const char *text, struct error *err);

/* Whether there is code of an engine, which guests must not run. */
bool engine_side_owns(uint64_t address);

/* What the guest's CPU has: static. */
const struct x86_features *engine_side_features(void);
/* The components of its XCR0. */
uint64_t engine_side_xcr0(void);

/* Runs the code at in->rip until it raises an exception. An event other than a fault is told as a
 * fault whose signal is 0 and whose code is the enum vcpu_event. */
void engine_side_run(unsigned number, const struct machine *in, struct outcome *out);

/* The same in system mode. */
void engine_side_run_soft(unsigned number, const struct soft_run *how, enum scratch_layout layout,
                          const struct machine *in, struct outcome *out);

/* The code in [start, end) is about to change. */
void engine_side_forget(uint64_t start, uint64_t end);

/* Called where a signal was not the guest's; must not return. */
void engine_side_on_crash(void (*crash)(int signal, uint64_t pc, uint64_t address));

#endif
