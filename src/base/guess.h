/* SPDX-License-Identifier: MIT
 *
 * How far two words are apart, for guesses at what a misspelt one was meant to be. Any thread.
 */
#ifndef BASE_GUESS_H
#define BASE_GUESS_H

#include <stddef.h>

enum { GUESS_MAX = 64 }; /* bytes of a word that a guess is made for */

/* Bytes to insert, delete or replace on the way from one word to the other. UINT_MAX where one of
 * them is longer than GUESS_MAX. */
unsigned guess_distance(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
