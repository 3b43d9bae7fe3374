/* SPDX-License-Identifier: MIT
 *
 * What the rows of options.c call.
 */
#ifndef VITRINE_TAKE_H
#define VITRINE_TAKE_H

#include "cmd/vitrine/options.h"
#include "cmd/vitrine/setup.h"

typedef bool take_fn(struct options *o, const char *value, struct error *err);
typedef bool apply_fn(struct setup *setup, const char *value, struct error *err);

/* options.c */
take_fn take_help, take_version;

/* take_machine.c: what the machine is made of */
take_fn take_machine, take_cpu, take_accel, take_kvm, take_smp, take_memory, take_vga, take_display,
    take_nographic, take_nodefaults, take_no_hpet, take_no_acpi, take_device, take_uuid, take_usb,
    take_sandbox, take_ignored;

/* take_boot.c: how it begins and ends */
take_fn take_bios, take_kernel, take_initrd, take_append, take_boot, take_rtc, take_seed,
    take_stopped, take_no_reboot, take_no_shutdown, take_action, take_icount, take_folder;

/* take_process.c: the process, logs and traces */
take_fn take_name, take_pidfile, take_daemonize, take_items, take_log, take_filter, take_events,
    take_messages, take_single, take_engine;

/* storage.c */
take_fn take_snapshot;
apply_fn apply_drive, apply_hda, apply_hdb, apply_hdc, apply_hdd, apply_cdrom, apply_fda, apply_fdb;

/* lines.c */
take_fn take_chardev, take_serial, take_monitor, take_mon, take_parallel;
apply_fn apply_chardev, apply_serial, apply_monitor, apply_mon, apply_debugcon;

/* setup.c */
apply_fn apply_device, apply_global, apply_fw_cfg, apply_option_rom;

/* networks.c */
take_fn take_netdev, take_nic, take_net;
apply_fn apply_netdev, apply_nic, apply_net, apply_object;

/* --- help for them --- */

/* Ends with help printed: returns false with an empty sentence. */
bool help_was_printed(struct error *err);
bool is_help(const char *value);

/* Calls `word` for each key=value of the text, until it returns false. Its value is never NULL: a
 * bare key is "on", and where there is `nokey` for a key that is none, "off". */
bool each_word(const char *text, const char *implied,
               bool (*word)(void *opaque, const char *key, const char *value, struct error *err),
               void *opaque, struct error *err);

/* The index of `value` among words that end with NULL; -1: it is none of them. */
int word_index(const char *value, const char *const *words);

#endif
