/* SPDX-License-Identifier: MIT
 *
 * The switches of the engine as words of a command line: -engine WORD,...
 */
#ifndef ENGINE_WORDS_H
#define ENGINE_WORDS_H

#include "engine/engine.h"

/* What they are, for -h. */
#define ENGINE_WORDS_HELP                                                              \
    "switches of the translator: one-insn, no-chain, no-liveness, count, self-check, " \
    "random-exits, no-tlb, cache=SIZE, block=N"

/* Sets what the words say; others stay. */
bool engine_options_words(struct engine_options *options, const char *text, struct error *err);

#endif
