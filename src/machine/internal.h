/* SPDX-License-Identifier: MIT
 *
 * What the files of the room share.
 *
 * Who waits for whom
 *
 *   A vCPU's thread is `inside` while it executes code, without the lock. Whoever wants all of them
 *   to stand sets what machine_may_run() looks at, interrupts those inside, and waits for `stood`
 *   until none is: pthread_cond_wait() releases the lock meanwhile, which they need for registers.
 *   Only the loop's thread waits so; a vCPU's own thread asks with a request.
 *
 *   The loop's thread has the right of way: while it waits for the lock (`gate`), no vCPU takes it.
 *   Else a guest that polls a port would keep its own timer from it.
 */
#ifndef MACHINE_INTERNAL_H
#define MACHINE_INTERNAL_H

#include "base/strbuf.h"
#include "machine/machine.h"

enum machine_request {
    REQUEST_STOP = 1 << 0,
    REQUEST_CONT = 1 << 1,
    REQUEST_RESET = 1 << 2,
    REQUEST_SHUTDOWN = 1 << 3,
    REQUEST_POWERDOWN = 1 << 4,
    REQUEST_SUSPEND = 1 << 5,
    REQUEST_WAKEUP = 1 << 6,
    REQUEST_PANIC = 1 << 7,
    /* vCPUs stand until these are served. */
    REQUESTS_THAT_HALT =
        REQUEST_STOP | REQUEST_RESET | REQUEST_SHUTDOWN | REQUEST_SUSPEND | REQUEST_PANIC,
};

enum { MACHINE_HOOKS = 16, MACHINE_DEBUGCONS = 8, MACHINE_NO_QUIT = -1 };

struct machine_hook {
    enum machine_stage stage;
    machine_hook_fn *function;
    void *opaque;
};

/* -drive and its like, before and after it is opened. */
struct machine_drive {
    struct drive_options options;
    char *what;
    struct drive *drive; /* NULL: not yet */
    bool has_device;     /* somebody's -device names it, or the board made one */
};

struct machine_global {
    char *driver, *property, *value;
    bool used;
    struct machine_global *next;
};

struct machine_text {
    char *text;
    struct machine_text *next;
};

struct machine_blob {
    char *name;
    uint64_t address;
    uint8_t *bytes;
    size_t size;
    struct machine_blob *next;
};

struct machine_boot_path {
    int bootindex;
    char *path;
    struct machine_boot_path *next;
};

struct machine_private {
    pthread_t loop_thread;
    pthread_mutex_t gate;
    bool loop_waits;   /* for the lock; atomic */
    const void *owner; /* of the lock: what stands for a thread; NULL: nobody; atomic */

    /* The clock: `ran` nanoseconds, and those since `since` while it runs. */
    bool clock_runs;
    uint64_t ran, since;
    uint32_t granted;         /* -icount: instructions, since `ran` */
    struct timer clock_timer; /* on the loop's clock */

    unsigned requests; /* set of enum machine_request; atomic, as what follows */
    int stop_state, reset_cause, shutdown_cause;
    int quit; /* the exit status; MACHINE_NO_QUIT */

    unsigned held;
    bool ends;           /* threads of vCPUs return */
    bool built, serving; /* a request is being served */
    bool deliver_posted; /* block_pool_deliver() is on its way; atomic */
    bool booted;         /* -boot once= is over */
    bool a20_port92, a20_keyboard;
    bool nmi_masked;
    unsigned entered; /* lines of -d int */
    uint64_t random;  /* state of the generator, if -seed */

    struct machine_drive **drive;
    size_t drives;
    struct machine_text *device_texts;
    struct machine_global *globals;
    struct chardev *serial[MACHINE_SERIAL_PORTS], *debugcon[MACHINE_DEBUGCONS];
    bool has_serial[MACHINE_SERIAL_PORTS];
    unsigned debugcons;
    struct machine_blob *blobs, *fw_cfg_files;
    struct machine_boot_path *boot_paths;
    struct machine_hook hook[MACHINE_HOOKS];
    unsigned hooks;

    struct irq to_pic[ISA_IRQS], to_ioapic[ISA_IRQS];
    struct mem_region firmware, firmware_low, rom_space, port80, port_f0;
};

/* --- machine.c --- */

/* pthread_cond_wait() on the lock; with a limit in nanoseconds, TIMER_NEVER: none. */
void machine_wait(struct machine *machine, pthread_cond_t *condition, uint64_t nanoseconds);
void machine_clock_start(struct machine *machine);
void machine_clock_stop(struct machine *machine);
/* "PROGRAM: ..." on standard error. */
void machine_warn(const struct machine *machine, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool machine_run_hooks(struct machine *machine, enum machine_stage stage, struct error *err);

/* --- state.c --- */

/* What a device asks for. */
void machine_board_request(struct board *board, enum board_request what, int argument);
/* From prelaunch on, at the beginning of machine_run(), and at its end. */
void machine_begin_running(struct machine *machine);
void machine_end_running(struct machine *machine);

static inline bool machine_may_run(const struct machine *machine)
{
    const struct machine_private *own = machine->own;

    return machine->state == RUN_STATE_RUNNING && !own->held && !own->ends &&
           !(__atomic_load_n(&own->requests, __ATOMIC_ACQUIRE) & REQUESTS_THAT_HALT);
}

/* --- cpu.c --- */

bool machine_cpus_new(struct machine *machine, struct error *err);
/* Their local APICs; before the devices that send to them. */
bool machine_cpus_connect(struct machine *machine, struct error *err);
void machine_cpus_free(struct machine *machine);
bool machine_cpus_start(struct machine *machine, struct error *err);
void machine_cpus_end(struct machine *machine);
void machine_cpus_reset(struct machine *machine);
/* All come out of their code; any thread. */
void machine_cpus_interrupt(struct machine *machine);
/* Those that stand look again whether they may run. With the lock. */
void machine_cpus_wake(struct machine *machine);
/* Returns when none is inside. On the loop's thread, with the lock. */
void machine_cpus_stand(struct machine *machine);
void machine_set_a20(struct machine *machine);

/* --- icount.c: the clock of -icount. With the lock --- */

/* Also without the lock, on the vCPU's thread. */
uint64_t machine_icount_now(const struct machine *machine);
/* The earliest timer is another. */
void machine_icount_changed(struct machine *machine);
/* Before code is executed, and behind it. */
void machine_icount_grant(struct machine *machine);
void machine_icount_settle(struct machine *machine);
/* The CPU waits: until the next timer, or until it is woken. */
void machine_icount_wait(struct machine *machine);

/* --- bus.c --- */

struct cpu_bus;
void machine_bus_fill(struct machine_cpu *cpu, struct cpu_bus *bus);

/* --- pc.c --- */

bool machine_build_pc(struct machine *machine, struct error *err);

/* --- back_ends.c --- */

void *machine_back_end(struct board *board, enum property_type type, const char *id);
const char *machine_back_end_id(struct board *board, enum property_type type, const void *back_end);
bool machine_drives_open(struct machine *machine, struct error *err);
/* The drive of an interface at bus and unit; NULL: none. */
struct machine_drive *machine_drive_at(const struct machine *machine,
                                       enum drive_interface interface, unsigned bus, unsigned unit);
void machine_drives_free(struct machine *machine);

/* --- devices.c --- */

/* The devices of -device. */
bool machine_devices_make(struct machine *machine, struct error *err);
/* Whether a -device of this class is asked for. */
bool machine_devices_name(const struct machine *machine, const char *class);
void machine_devices_warn(const struct machine *machine);
void machine_devices_free(struct machine *machine);

/* --- nics.c --- */

bool machine_nics_make(struct machine *machine, struct error *err);
void machine_nics_warn(const struct machine *machine);

/* --- tables.c, boot_order.c --- */

bool machine_tables_add(struct machine *machine, struct error *err);
/* The boot order in CMOS, which -boot once= changes for a while: at each reset. */
void machine_cmos_boot(struct machine *machine);
/* The fw_cfg file `bootorder`. */
bool machine_boot_order_add(struct machine *machine, struct error *err);

/* --- roms.c --- */

bool machine_firmware_map(struct machine *machine, struct error *err);
/* The ROM that property romfile of a PCI device names. */
bool machine_load_rom(struct machine *machine, struct device *device, struct error *err);
void machine_blobs_write(struct machine *machine);
void machine_roms_free(struct machine *machine);

#endif
