/* SPDX-License-Identifier: MIT
 *
 * -icount: the machine's clock counts the instructions of its one CPU, each 2^shift nanoseconds.
 *
 * The CPU's thread drives the clock. Before it executes code it grants as many instructions as go
 * until the earliest timer; when they are spent it fires the timers that are due. A device that
 * sets an earlier one while the CPU is in it (under the lock, on the same thread) shortens the
 * grant. A CPU that waits lets the clock go on to the next timer, with sleep=on as slowly as real
 * time does. So the clock at each instruction depends on nothing but the instructions.
 *
 * What comes from outside (characters, packets, the monitor) comes when it comes.
 */
#include "base/clock.h"
#include "engine/system.h"
#include "guest/x86/x86.h"
#include "machine/internal.h"

enum { GRANT_MAX = 1 << 30 };

static struct machine_cpu *the_cpu(const struct machine *machine)
{
    return &machine->cpu[0];
}

/* Of the last grant, in nanoseconds. */
static uint64_t spent(const struct machine *machine)
{
    const struct machine_private *own = machine->own;

    if (own->granted == 0) {
        return 0;
    }
    return (uint64_t)(own->granted - vcpu_left(the_cpu(machine)->vcpu))
           << machine->options->icount_shift;
}

uint64_t machine_icount_now(const struct machine *machine)
{
    return machine->own->ran + spent(machine);
}

/* How many instructions go until the earliest timer; at least one. */
static uint32_t until_next(const struct machine *machine)
{
    unsigned shift = machine->options->icount_shift;
    uint64_t next = clock_next(&machine->clock), now = machine_icount_now(machine), count;

    if (next <= now) {
        return 1;
    }
    count = (next - now) >> shift;
    if (next - now > count << shift) {
        count++;
    }
    return count < GRANT_MAX ? (uint32_t)count : GRANT_MAX;
}

void machine_icount_changed(struct machine *machine)
{
    struct machine_private *own = machine->own;
    struct machine_cpu *cpu = machine->cpu ? the_cpu(machine) : NULL;
    uint32_t left, wanted;

    if (!cpu || !cpu->vcpu || machine_current_cpu(machine) != cpu) {
        if (cpu && cpu->vcpu) { /* it counts anew */
            vcpu_interrupt(cpu->vcpu);
            machine_cpus_wake(machine);
        }
        return;
    }
    left = own->granted ? vcpu_left(cpu->vcpu) : 0;
    wanted = until_next(machine);
    if (wanted < left) {
        own->granted -= left - wanted;
        vcpu_grant(cpu->vcpu, wanted);
    }
}

void machine_icount_settle(struct machine *machine)
{
    struct machine_private *own = machine->own;

    own->ran += spent(machine);
    own->granted = 0;
    vcpu_grant(the_cpu(machine)->vcpu, 0);
    clock_run(&machine->clock);
}

void machine_icount_grant(struct machine *machine)
{
    clock_run(&machine->clock);
    machine->own->granted = until_next(machine);
    vcpu_grant(the_cpu(machine)->vcpu, machine->own->granted);
}

void machine_icount_wait(struct machine *machine)
{
    struct machine_private *own = machine->own;
    struct machine_cpu *cpu = the_cpu(machine);
    uint64_t next = clock_next(&machine->clock), before = clock_monotonic(), waited;

    if (next == TIMER_NEVER) {
        machine_wait(machine, &cpu->wake, TIMER_NEVER);
        return;
    }
    if (next > own->ran && machine->options->icount_sleep) {
        machine_wait(machine, &cpu->wake, next - own->ran);
        waited = clock_monotonic() - before;
        if (waited < next - own->ran) {
            return; /* somebody wants something: the time until then is not the guest's */
        }
    }
    if (next > own->ran) {
        own->ran = next;
    }
    clock_run(&machine->clock);
    machine_unlock(machine); /* others have a turn */
    machine_lock(machine);
}
