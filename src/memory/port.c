/* SPDX-License-Identifier: MIT
 *
 * Ports, as the instructions IN and OUT see them. */
#include "memory/internal.h"
#include "trace-memory.h"

static char letter(unsigned size)
{
    return size == 1 ? 'b' : size == 2 ? 'w' : 'l';
}

uint32_t mem_in(struct mem_space *ports, int by, uint16_t port, unsigned size)
{
    uint64_t value;

    mem_load(ports, by, port, &value, size);
    trace_cpu_in(port, letter(size), (uint32_t)value);
    return (uint32_t)value;
}

void mem_out(struct mem_space *ports, int by, uint16_t port, uint32_t value, unsigned size)
{
    trace_cpu_out(port, letter(size), value);
    mem_store(ports, by, port, value, size);
}
