/* SPDX-License-Identifier: MIT
 *
 * NICs that the options of networks ask for, made by the board. */
#ifndef DEVICE_NIC_H
#define DEVICE_NIC_H

#include "device/device.h"

/* Makes those of board->nets (net.h: nets_nic()), each at the next free PCI address; `model` where
 * the option names none. The sentence begins with the option, or names the model that is not there.
 */
bool nics_new(struct board *board, const char *model, struct error *err);

/* What `-nic model=help` shows. */
void nics_print_models(struct strbuf *text);

#endif
