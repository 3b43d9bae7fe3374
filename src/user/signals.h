/* SPDX-License-Identifier: MIT
 *
 * Signals of the guest.
 *
 * Asynchronous signals. What the guest ignores or leaves at its default is the host's disposition
 * too, so that stops, deaths and children are the kernel's own affair. Where the guest has a
 * handler, ours is installed; it notes the signal in the thread (pending, info), blocks all others
 * in the interrupted context, and asks the vCPU to come out. The thread delivers at the boundary:
 * it builds the kernel's frame on the guest's stack and goes on in the guest's handler, with the
 * guest's mask on the host.
 *
 * Open signals. Faults and the engine's kick signal are never blocked on the host and always have
 * our handler. What the guest makes of them is in its table alone: one that it blocks stays pending
 * in the thread that got it.
 */
#ifndef USER_SIGNALS_H
#define USER_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "base/error.h"

struct user;
struct user_thread;
struct vcpu_fault;

enum { USER_SIGNALS = 64 };

static inline uint64_t user_signal_bit(int signal)
{
    return UINT64_C(1) << (signal - 1);
}

/* Faults, and USER_KICK_SIGNAL. */
uint64_t user_signals_open(void);

/* An action as rt_sigaction takes it. */
struct user_action {
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};

/* How the system call before this boundary ended. */
enum user_restart {
    USER_RESTART_NONE,
    USER_RESTART_BEGIN, /* the kernel had not begun, or wants to begin again */
    USER_RESTART_EINTR, /* EINTR: again, unless a handler of the guest runs */
};

/* What the process begins with: ignored signals are inherited, handlers of ours installed. The main
 * thread's mask is that of the host. Main thread. */
bool user_signals_init(struct user *user, struct user_thread *thread, struct error *err);

/* A copy (CLONE_VM without CLONE_SIGHAND), freed with user_signals_free(). */
struct user_signals *user_signals_copy(const struct user_signals *from);
void user_signals_free(struct user_signals *signals);

/* fork: other threads' locks. */
void user_signals_fork_child(struct user_thread *thread);

/* The thread's alternate stack for handlers of the host: made, and put to use on the calling
 * thread; taken away. */
bool user_signals_stack(struct user_thread *thread);
void user_signals_stack_free(struct user_thread *thread);

/* Blocks all signals on the host but faults (`all`: those too); the guest's mask comes back with
 * user_signals_apply_mask(). */
void user_signals_block(void);
void user_signals_apply_mask(struct user_thread *thread);

/* Puts dispositions of open signals on the host where execve() hands them on; and back. */
void user_signals_before_exec(struct user_thread *thread);
void user_signals_after_exec(struct user_thread *thread);

/* Changes the guest's mask; what was blocked and is pending comes at the boundary. SIGKILL and
 * SIGSTOP stay open. */
void user_signals_set_mask(struct user_thread *thread, uint64_t mask);

/* For the time of a system call: user_signals_deliver() takes it back, behind a handler's frame. */
void user_signals_set_temporary_mask(struct user_thread *thread, uint64_t mask);

/* The system call is over and has not been interrupted: the old mask is back before any signal. */
void user_signals_end_temporary_mask(struct user_thread *thread);

/* The mask for the host that goes with a mask of the guest. */
uint64_t user_signals_host_mask(uint64_t mask);

/* A pending signal of `set` that is noted in the thread is taken out; 0: none. */
int user_signals_take(struct user_thread *thread, uint64_t set, siginfo_t *info);

/* Sends a signal that one of our threads took to the process again. Of those that the kernel lets
 * only itself or the main thread send, the sender is then this process. */
void user_signals_give_back(int signal, siginfo_t *info);

/* A thread that ends gives signals back that were sent to the process. All signals are blocked. */
void user_signals_hand_back(struct user_thread *thread);

/* CLONE_CLEAR_SIGHAND: handlers become the default. */
void user_signals_clear_handlers(struct user_thread *thread);

/* At a boundary, before guest code goes on: delivers what is pending, restarts a system call, takes
 * back a temporary mask. Quick when there is nothing to do. */
void user_signals_deliver(struct user_thread *thread);

/* A signal that cannot be blocked: a fault, or a decision of ours. With the guest's handler if it
 * has one and does not block it, else the process dies. */
void user_signals_force(struct user_thread *thread, int signal, const siginfo_t *info);

/* SIGSEGV in the manner of the kernel where a frame cannot be written or read. */
void user_signals_force_segv(struct user_thread *thread, int failed_signal);

/* An exception of translated code. */
void user_signals_fault(struct user_thread *thread, const struct vcpu_fault *fault);

/* Dies by the signal as the host's kernel does it. */
noreturn void user_signals_die(struct user_thread *thread, int signal);

/* The kernel's answer to sigaltstack() and the part of it that rt_sigreturn does. */
int64_t user_signals_altstack(struct user_thread *thread, const stack_t *stack, stack_t *old,
                              uint64_t stack_pointer);

/* True if the guest ignores the signal, at this moment. Async-signal-safe. */
bool user_signals_ignored(const struct user_thread *thread, int signal);

/* True if the stack pointer is on the guest's alternate stack. */
bool user_signals_on_altstack(const struct user_thread *thread, uint64_t stack_pointer);

/* --- signal_frame.c --- */

/* Puts the frame of a handler on the guest's stack, and registers as the handler finds them. `mask`
 * is what rt_sigreturn restores. False: no place for it; nothing has changed. */
bool user_frame_push(struct user_thread *thread, int signal, const struct user_action *action,
                     const siginfo_t *info, uint64_t mask);

/* Takes the frame at the guest's stack pointer back. False: it cannot be read, or makes no sense.
 */
bool user_frame_pop(struct user_thread *thread);

#endif
