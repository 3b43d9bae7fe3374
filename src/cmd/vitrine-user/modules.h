/* SPDX-License-Identifier: MIT
 *
 * Names for the program's code: its modules go to a symbol space.
 */
#ifndef VITRINE_USER_MODULES_H
#define VITRINE_USER_MODULES_H

#include "user/user.h"

/* The modules of this process's guest, for struct user_options. Main thread, once. */
const struct user_modules *modules_new(void);

#endif
