/* SPDX-License-Identifier: MIT
 *
 * The engine in system mode: guest memory is reached through a soft TLB, code comes from RAM of a
 * memory space, and the guest takes its exceptions and interrupts itself.
 *
 * What a board does: engine_new() with config.space; vcpu_new() for each CPU and vcpu_connect()
 * with its bus; a thread for each that calls vcpu_bind() and then vcpu_run() again and again,
 * without the machine's lock. When something is requested of a CPU (x86_request()) from anywhere,
 * the board calls vcpu_attend(), and wakes the thread if it waits for that. Reset: vcpu_interrupt()
 * all, and when no thread is in vcpu_run(), x86_system_reset() and vcpu_changed().
 *
 * Locks: functions of the bus are called without any lock of the engine. The engine takes its own
 * lock inside the machine's (code listeners of memory), never the other way.
 */
#ifndef ENGINE_SYSTEM_H
#define ENGINE_SYSTEM_H

#include "engine/engine.h"

/* Connects a new vCPU to its bus (struct cpu_bus for x86), which outlives it, and resets the CPU.
 * The engine's TLB hears of what the guest flushes by itself. */
void vcpu_connect(struct vcpu *vcpu, const void *bus);

/* The CPU record was changed from outside (a reset, a debugger): translations that the TLB caches
 * are void. Not while the vCPU runs. */
void vcpu_changed(struct vcpu *vcpu);

/* Something was requested of the CPU: if it runs, it looks at the next instruction boundary, within
 * vcpu_run(). Any thread; cheap when asked again before it has looked. */
void vcpu_attend(struct vcpu *vcpu);

/* With options.budget: vcpu_run() executes `instructions` more (below 2^31) and returns VCPU_SPENT
 * then; how many of them are left, exact whenever C of the guest or of its bus runs. The vCPU's
 * thread, or while the vCPU does not run. */
void vcpu_grant(struct vcpu *vcpu, uint32_t instructions);
uint32_t vcpu_left(const struct vcpu *vcpu);

#endif
