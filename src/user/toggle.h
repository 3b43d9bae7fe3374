/* SPDX-License-Identifier: MIT
 *
 * -trace toggle=SIGNAL: signals from outside that switch events instead of reaching the guest.
 *
 * Of such a signal the guest gets what the process sends to itself and what the kernel sends (a
 * timer, a key). What another process sends (si_code SI_USER, SI_QUEUE or SI_TKILL with another
 * si_pid) is taken: by a thread of ours that waits for nothing else, or by the handler on a guest
 * thread, which passes it on to that one. So it arrives whatever the guest blocks. What our thread
 * takes and is the guest's it gives back to the process, and waits for that signal no more until
 * the guest has got it; before a system call of the guest that sends one, it stops waiting at once.
 *
 * The handler is always installed for such a signal; what the guest wants done with it is in its
 * table alone (signals.h). A system call that was interrupted for nothing goes on, with what is
 * left of its time.
 */
#ifndef USER_TOGGLE_H
#define USER_TOGGLE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct user;
struct user_thread;

/* True if the signal is one of toggle=. Any thread, async-signal-safe. */
bool user_toggle_is(const struct user *user, int signal);

/* Starts the thread that waits; in the child of a fork, again. All signals blocked. Without
 * toggle= nothing happens. */
void user_toggle_start(struct user *user);

/* In the child of a fork, when it is whole. */
void user_toggle_forked(struct user *user);

/* True if the signal, which the guest's thread got, is from outside: it is passed on to our thread.
 * Async-signal-safe. */
bool user_toggle_take(struct user_thread *thread, int signal, const siginfo_t *info);

/* For the handler: true if it is one of toggle= and ignored by the guest, as if it had not come.
 * Async-signal-safe. */
bool user_toggle_ignored(struct user_thread *thread, int signal);

/* Before a system call of the guest that sends signals: our thread leaves one of toggle= that the
 * process sends to itself alone until the guest has got it. */
void user_toggle_before_call(struct user *user, uint64_t number, const uint64_t args[6]);

/* Around execve(): such signals wait for the next program's handler. */
void user_toggle_before_exec(struct user_thread *thread);
void user_toggle_after_exec(struct user_thread *thread);

/* The words that tell a program that the guest starts which switches are on, and which of the
 * signals `thread` has blocked; "" without toggle=. */
void user_toggle_words(const struct user_thread *thread, char *to, unsigned size);

/* A system call that may sleep: noted before it, and asked when it has given EINTR. */
struct user_toggle_call {
    struct timespec begin;
    bool known;
    int64_t whole; /* nanoseconds, once known; -1: no end */
    struct timespec left;
};

void user_toggle_call_begin(struct user_thread *thread, struct user_toggle_call *state);
/* True if the call was interrupted by nothing that the guest should notice: to be made again, with
 * `args`, which may point to `state`. */
bool user_toggle_call_again(struct user_thread *thread, struct user_toggle_call *state,
                            uint64_t number, uint64_t args[6]);

#endif
