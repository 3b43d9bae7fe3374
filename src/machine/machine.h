/* SPDX-License-Identifier: MIT
 *
 * A machine: memory, devices and vCPUs wired into a PC, with its clock, its event loop and its
 * lock. Programs make one from options and run it; monitors look at it and steer it.
 *
 *     struct machine *m = machine_new(&options, &err);  // loop, spaces, back ends; no devices yet
 *     machine_add_drive(m, ...); machine_add_device(m, ...); ...
 *     if (m && machine_build(m, &err))                   // the board and all that was asked for
 *         status = machine_run(m);                       // until somebody quits
 *     machine_free(m);
 *
 * Threads. The thread that made the machine runs its loop: timers, chardevs, results of drives,
 * monitors, and all that machine_stop(), machine_reset() and their like ask for. Each vCPU has a
 * thread. One mutex, the machine's lock, is held whenever a device, a timer or a handler of the
 * loop runs; vCPU threads take it for registers and ports, and not while they execute code. Fields
 * of struct machine are read under the lock, except those that do not change once it is built.
 *
 * A vCPU executes code only while the machine is running, is not held (machine_hold()), and no
 * request waits to be served. When it stands, its record (machine_cpu.x86) is whole and may be
 * looked at and changed by whoever holds the lock.
 *
 * There is no file-scope state: two machines can live in a process.
 *
 * Read in this order: this header, machine.c (making, clock, loop), state.c (run states, requests),
 * cpu.c (vCPU threads), icount.c (time by instructions), bus.c (what CPUs reach), pc.c (the board),
 * tables.c (what firmware is told), roms.c (files), boot_order.c, back_ends.c, devices.c (-device,
 * -global), nics.c; boot.h (kernels).
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/timer.h"
#include "block/block.h"
#include "chardev/chardev.h"
#include "device/apic.h"
#include "device/device.h"
#include "device/isa.h"
#include "device/pci.h"

struct cpu_bus;
struct engine;
struct engine_options;
struct machine;
struct nets; /* net/net.h */
struct symbol_space;
struct vcpu;
struct x86_cpu;
struct x86_model;

enum { MACHINE_CPUS_MAX = 255, MACHINE_SERIAL_PORTS = 4 };

/* --- run states: QEMU's, with its numbers --- */

#define RUN_STATES(_)                   \
    _(DEBUG, "debug")                   \
    _(INMIGRATE, "inmigrate")           \
    _(INTERNAL_ERROR, "internal-error") \
    _(IO_ERROR, "io-error")             \
    _(PAUSED, "paused")                 \
    _(POSTMIGRATE, "postmigrate")       \
    _(PRELAUNCH, "prelaunch")           \
    _(FINISH_MIGRATE, "finish-migrate") \
    _(RESTORE_VM, "restore-vm")         \
    _(RUNNING, "running")               \
    _(SAVE_VM, "save-vm")               \
    _(SHUTDOWN, "shutdown")             \
    _(SUSPENDED, "suspended")           \
    _(WATCHDOG, "watchdog")             \
    _(GUEST_PANICKED, "guest-panicked") \
    _(COLO, "colo")

enum run_state {
#define RUN_STATE_ENUM(state, name) RUN_STATE_##state,
    RUN_STATES(RUN_STATE_ENUM)
#undef RUN_STATE_ENUM
        RUN_STATE_COUNT,
};

/* Why the machine shuts down or is reset; the names are those of QMP's events. */
#define SHUTDOWN_CAUSES(_)                            \
    _(NONE, "none")                                   \
    _(HOST_ERROR, "host-error")                       \
    _(HOST_QMP_QUIT, "host-qmp-quit")                 \
    _(HOST_QMP_SYSTEM_RESET, "host-qmp-system-reset") \
    _(HOST_SIGNAL, "host-signal")                     \
    _(HOST_UI, "host-ui")                             \
    _(GUEST_SHUTDOWN, "guest-shutdown")               \
    _(GUEST_RESET, "guest-reset")                     \
    _(GUEST_PANIC, "guest-panic")                     \
    _(SUBSYSTEM_RESET, "subsystem-reset")

enum shutdown_cause {
#define SHUTDOWN_CAUSE_ENUM(cause, name) SHUTDOWN_CAUSE_##cause,
    SHUTDOWN_CAUSES(SHUTDOWN_CAUSE_ENUM)
#undef SHUTDOWN_CAUSE_ENUM
        SHUTDOWN_CAUSE_COUNT,
};

const char *run_state_name(enum run_state state);
const char *shutdown_cause_name(enum shutdown_cause cause);

/* --- what is asked for --- */

/* -action, -no-reboot, -no-shutdown. */
enum reboot_action { REBOOT_RESET, REBOOT_SHUTDOWN };
enum shutdown_action { SHUTDOWN_POWEROFF, SHUTDOWN_PAUSE };
enum panic_action { PANIC_SHUTDOWN, PANIC_PAUSE, PANIC_EXIT_FAILURE, PANIC_NONE };

enum vga_kind { VGA_NONE, VGA_STD };

enum rtc_base { RTC_UTC, RTC_LOCALTIME, RTC_DATE };
enum rtc_clock { RTC_HOST, RTC_RT, RTC_VM };

/* All strings are the caller's and outlive the machine; NULL: not given. */
struct machine_options {
    const char *program; /* in front of what is said on standard error: "vitrine" */
    const char *name;    /* -name; NULL: none */
    uint64_t ram_size;   /* bytes, a multiple of the page; 0: 128 MiB */
    unsigned cpus, cpus_max;
    unsigned sockets, cores, threads; /* of a package; 0: one core a package, as many as needed */
    const struct x86_model *model;    /* outlives the machine */
    const struct engine_options *engine; /* NULL: as they are */
    struct symbol_space *symbols;        /* NULL: none */

    const char *const *folders; /* -L, searched in this order before the usual ones; NULL at the end
                                   (or no list) */
    const char *firmware;       /* -bios */
    const char *kernel, *initrd, *append; /* -kernel ... */

    const char *boot_order; /* "cad" */
    const char *boot_once;  /* until the first reset */
    bool boot_menu, boot_strict;
    const char *boot_splash;
    bool boot_splash_timed;
    unsigned boot_splash_time; /* ms */
    int64_t reboot_timeout;    /* ms; -1: not given */

    bool no_default_devices;         /* -nodefaults */
    bool no_hpet, no_acpi, no_i8042; /* of -machine */
    bool nographic;
    enum vga_kind vga;

    enum rtc_base rtc_base;
    int64_t rtc_date; /* seconds since 1970 of RTC_DATE */
    enum rtc_clock rtc_clock;
    bool seeded; /* -seed */
    uint64_t seed;
    bool has_uuid;
    uint8_t uuid[16];

    bool count_instructions; /* -icount: time is instructions << icount_shift ns */
    unsigned icount_shift;
    bool icount_sleep; /* a machine that waits lets real time pass */

    bool stopped; /* -S */
    enum reboot_action reboot;
    enum shutdown_action shutdown;
    enum panic_action panic;
};

/* --- vCPUs --- */

struct machine_cpu {
    struct machine *machine;
    unsigned number; /* APIC id too */
    struct vcpu *vcpu;
    struct x86_cpu *x86; /* its record; look at it only while the vCPU stands */
    struct local_apic *apic;

    pid_t thread_id; /* the host's number of its thread, for people; 0: not yet */

    /* cpu.c's own. */
    struct cpu_bus *bus;
    pthread_t thread;
    pthread_cond_t wake; /* with the lock: it may go on, or something was requested of it */
    bool started;        /* the thread */
    bool inside;         /* it executes code, and does not hold the lock */
    bool waits;          /* it stands in HLT or the like */
    bool told_shutdown;  /* the triple fault was told */
    bool a20_changed;    /* its record does not know yet */
};

/* --- listeners --- */

/* Who wants to know what becomes of a machine. Called under the lock on the loop's thread. Any
 * function may be NULL. */
struct machine_listener {
    void *opaque;
    /* vCPUs have been let go, or stand: `state` is the new one. */
    void (*state)(void *opaque, bool running, enum run_state state);
    void (*reset)(void *opaque, enum shutdown_cause cause); /* devices are reset already */
    void (*powerdown)(void *opaque);                        /* the power button was pressed */
    void (*shutdown)(void *opaque, enum shutdown_cause cause);
    void (*wakeup)(void *opaque);
    void (*suspend)(void *opaque);
    struct machine_listener *next;
};

/* --- the machine --- */

/* Devices that the board knows; NULL: there is none. */
struct machine_devices {
    struct device *host_bridge, *isa_bridge, *pm, *ide, *fdc, *keyboard_controller;
    struct device *pic, *ioapic, *hpet, *pit, *rtc, *fw_cfg, *vga;
};

struct machine {
    const struct machine_options *options;
    struct board board; /* spaces, buses, the list of devices; board.opaque is the machine */
    struct loop *loop;
    pthread_mutex_t lock; /* machine_lock() */
    pthread_cond_t stood; /* a vCPU has come out of its code, or has ended */

    struct clock clock; /* the machine's: stands while the machine does. Nanoseconds */
    struct mem_region memory_root, port_root, ram;
    uint64_t ram_below_4g, ram_above_4g;

    struct engine *engine;
    struct machine_cpu *cpu; /* in order of their numbers */
    unsigned cpus;
    struct apic_bus apics;
    struct machine_devices devices;
    struct isa_bus *isa;

    struct chardevs *chardevs;
    struct block_pool *pool;
    struct nets *nets;
    struct drive **drive; /* as they were made */
    size_t drives;

    enum run_state state;
    enum shutdown_cause reset_cause; /* of the last reset; NONE: power-on */
    struct machine_listener *listeners;
    struct machine_private *own; /* the room's */
};

/* Makes a machine without devices. `options` outlives it and is not changed any more, except that
 * the board may be told of more until machine_build(). NULL with a sentence. The calling thread is
 * the one that runs the loop. */
struct machine *machine_new(const struct machine_options *options, struct error *err);

/* Makes board and devices, loads firmware and kernel, resets all: the state is prelaunch then.
 * False: a sentence; the machine can only be freed. Without the lock. */
bool machine_build(struct machine *machine, struct error *err);

/* Lets it run (unless -S) until machine_quit(); the exit status. Without the lock. */
int machine_run(struct machine *machine);

/* Stops all threads and frees all. NULL: nothing. */
void machine_free(struct machine *machine);

/* Any thread but a vCPU's inside of a device's function, which has it already. Not recursive. */
void machine_lock(struct machine *machine);
void machine_unlock(struct machine *machine);
/* Whether the calling thread has it: for assertions. */
bool machine_is_locked(const struct machine *machine);

/* --- what a machine is made of; before machine_build(), except where said --- */

/* -drive and its like, parsed and placed; kept until machine_build(), which opens it and makes the
 * device that its interface asks for. Takes what `options` holds. `what` is for messages ("-drive
 * file=x"). */
bool machine_add_drive(struct machine *machine, struct drive_options *options, const char *what,
                       struct error *err);
/* By id, NULL: there is none. Any time. */
struct drive *machine_find_drive(const struct machine *machine, const char *id);

/* -device: "e1000,netdev=n0,mac=...". Made by machine_build(), in the order given. */
bool machine_add_device(struct machine *machine, const char *text, struct error *err);
/* -global: "DRIVER.PROPERTY=VALUE" or driver=,property=,value=. */
bool machine_add_global(struct machine *machine, const char *text, struct error *err);
/* The back end of serial port `number` (COM1 is 0), which has no device otherwise; likewise a
 * debug console, of which there may be several. */
bool machine_set_serial(struct machine *machine, unsigned number, struct chardev *chardev,
                        struct error *err);
void machine_add_debugcon(struct machine *machine, struct chardev *chardev);
/* -fw_cfg: a file for the guest. */
bool machine_add_fw_cfg(struct machine *machine, const char *name, const void *bytes, size_t size,
                        struct error *err);

/* Called at places of machine_build(), with the lock: other rooms hang in what they add. A hook is
 * called once; false ends the building. */
enum machine_stage {
    MACHINE_STAGE_DEVICES, /* the board's own devices are there, -device's are not */
    MACHINE_STAGE_KERNEL,  /* all devices are there and the kernel is loaded; tables are not */
    MACHINE_STAGE_READY,   /* all was reset: monitors may attach */
};
typedef bool machine_hook_fn(void *opaque, struct machine *machine, struct error *err);
void machine_hook(struct machine *machine, enum machine_stage stage, machine_hook_fn *hook,
                  void *opaque);

/* Makes a device of the board with properties "key=value,..." (NULL: none), -global's applied
 * first; realizes it and loads its ROM. `id` may be NULL. Inside hooks. NULL with a sentence. */
struct device *machine_make_device(struct machine *machine, const char *class, const char *id,
                                   const char *properties, struct error *err);
/* The same for a device whose pointers are to be set first: begun here, ended by
 * machine_end_device() (whose failure frees it). */
struct device *machine_begin_device(struct machine *machine, const char *class, struct error *err);
bool machine_end_device(struct machine *machine, struct device *device, struct error *err);

/* `model=help` of -nic: what NICs there are. */
struct strbuf;
void machine_print_nics(struct strbuf *text);

/* --- files --- */

/* Where a ROM or other file lies: the name itself if it is a path that exists, else below -L and
 * the folders of the host's packages. A string to free; NULL: nowhere. Any thread. */
char *machine_find_file(const struct machine *machine, const char *name);

/* Those folders of packages; ends with NULL. */
const char *const *machine_usual_folders(void);

/* Reads a file whole, as found by machine_find_file() (`search`) or as named, and fires load_file.
 * Bytes to free; NULL with a sentence. Bigger than `limit` is an error. Any thread. */
uint8_t *machine_read_file(const struct machine *machine, const char *name, bool search,
                           size_t limit, size_t *size, struct error *err);

/* --- booting: inside of MACHINE_STAGE_KERNEL --- */

/* An option ROM that firmware finds as a file (genroms/NAME), without a PCI device; `bootindex` as
 * of devices, -1: none. */
bool machine_add_rom(struct machine *machine, const char *name, const void *bytes, size_t size,
                     int bootindex, struct error *err);
/* A line of firmware's boot order: an Open Firmware path, for what has no device with a bootindex.
 */
bool machine_add_boot_path(struct machine *machine, int bootindex, const char *path,
                           struct error *err);
/* Bytes that are in RAM (or wherever the address leads) after each reset. `bytes` are copied. */
bool machine_add_blob(struct machine *machine, const char *name, uint64_t address,
                      const void *bytes, size_t size, struct error *err);

/* --- steering. Any thread, with the lock or without, also inside of devices' functions, but not in
 * signal handlers: what is asked for is done by the loop's thread, soon, and no vCPU goes on
 * before.
 */

/* Out of running, to `state`. */
void machine_request_stop(struct machine *machine, enum run_state state);
void machine_request_cont(struct machine *machine);
void machine_request_reset(struct machine *machine, enum shutdown_cause cause);
/* Power off, or what -no-shutdown says. */
void machine_request_shutdown(struct machine *machine, enum shutdown_cause cause);
/* The power button: the guest hears of it. */
void machine_request_powerdown(struct machine *machine);
/* Sleep and waking up (ACPI S3). */
void machine_request_suspend(struct machine *machine);
void machine_request_wakeup(struct machine *machine);
/* The guest has said that it cannot go on; -action panic= says what then. */
void machine_guest_panicked(struct machine *machine);
/* The end of machine_run(), with a status, whatever the options say. The first one counts. Also in
 * signal handlers. */
void machine_quit(struct machine *machine, int status);

/* --- steering at once: on the loop's thread, with the lock (which is released while vCPUs come out
 * of their code, so others may have done something meanwhile) --- */

/* When it returns all vCPUs stand. */
void machine_stop(struct machine *machine, enum run_state state);
/* False with a sentence where the state does not allow it ("Resetting the Virtual Machine is
 * required"); running already is fine. */
bool machine_cont(struct machine *machine, struct error *err);
void machine_reset(struct machine *machine, enum shutdown_cause cause);
/* The NMI button: LINT1 of every local APIC. */
void machine_nmi(struct machine *machine);

static inline bool machine_is_running(const struct machine *machine)
{
    return machine->state == RUN_STATE_RUNNING;
}

/* All vCPUs stand from machine_hold() to machine_release(), without a change of state; they nest.
 * The clock goes on. For looking at registers while the machine runs. Not on a vCPU's thread, with
 * the lock. */
void machine_hold(struct machine *machine);
void machine_release(struct machine *machine);

/* The record of a vCPU that stands was changed: pc, control registers and so on. */
void machine_cpu_changed(struct machine_cpu *cpu);

/* The vCPU whose thread calls; NULL: none of this machine. */
struct machine_cpu *machine_current_cpu(const struct machine *machine);

/* --- */

/* The listener lies with the caller until it is removed. With the lock. */
void machine_listen(struct machine *machine, struct machine_listener *listener);
void machine_listen_no_more(struct machine *machine, struct machine_listener *listener);

/* "VM status: running", "VM status: paused (shutdown)", in QEMU's shape with a newline: `info
 * status`. */
struct strbuf;
void machine_print_status(const struct machine *machine, struct strbuf *text);

#endif
