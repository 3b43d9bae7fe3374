/* SPDX-License-Identifier: MIT
 *
 * The table of ids and names at the head of a recording, as mapping records of the simple format.
 */
#ifndef TRACE_MAPPING_H
#define TRACE_MAPPING_H

#include <stddef.h>
#include <stdint.h>

/* The mapping records of all events from number `first` on; free() them. */
uint8_t *trace_mapping(unsigned first, size_t *len);

#endif
