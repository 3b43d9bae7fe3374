/* SPDX-License-Identifier: MIT
 *
 * Tests of the test: instructions with known results on the real CPU, and planted differences.
 */
#ifndef DIFFERENTIAL_SELF_TEST_H
#define DIFFERENTIAL_SELF_TEST_H

/* Prints what failed; 0: nothing. */
int self_test(void);

#endif
