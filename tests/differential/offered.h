/* SPDX-License-Identifier: MIT
 *
 * What a processor with given features makes of an instruction. The answer is Zydis's, who says
 * which set an instruction is of and knows nothing of our rows; so a row with the wrong feature is
 * found.
 */
#ifndef DIFFERENTIAL_OFFERED_H
#define DIFFERENTIAL_OFFERED_H

#include <stdbool.h>

#include "generate.h"

enum offered {
    OFFERED,         /* it executes it */
    OFFERED_ANOTHER, /* it ignores a prefix and executes what is left */
    OFFERED_NOT,     /* it is undefined there */
};

/* `without`: for OFFERED_ANOTHER, the instruction as it is executed, as long as before. */
enum offered offered(const struct x86_features *features, const struct test_case *c,
                     uint8_t without[GENERATE_CODE]);

#endif
