/* SPDX-License-Identifier: MIT
 *
 * The floppy disk controller of PCs, Intel 82077AA in AT mode (data sheet 290166), with two drives:
 * ports 0x3f0 to 0x3f5 and 0x3f7, IRQ 6, DMA channel 2. PART ID answers as an 82078 does.
 *
 * A command has three phases: its bytes come through the FIFO, it is carried out, its results go
 * out. Data go sector by sector: the image's side is a block request, the host's is DMA or the
 * FIFO. Heads move in their time, disks need none to turn.
 */
#include "device/fdc.h"

#include <string.h>

#include "block/block.h"
#include "device/isa.h"

#include "trace-device.h"

enum {
    DRIVES = 2,
    UNITS = 4, /* that can be selected */
    SECTOR = 512,
    SECTOR_CODE = 2, /* N: 128 << N bytes */
    COMMAND_BYTES = 9,
    RESULT_BYTES = 10,
    TRACK_LARGEST = 85,
    STEP_NS = 100 * 1000,
    RESET_NS = 10 * 1000,
    SECTOR_NS = 20 * 1000,
    NO_DISK_NS = 400 * 1000 * 1000, /* two turns without an index mark */
};

enum fdc_register { SRA, SRB, DOR, TDR, MSR, FIFO, DIR = 7 }; /* MSR written: DSR; DIR: CCR */

enum dor_bit { DOR_NOT_RESET = 0x04, DOR_DMA = 0x08, DOR_MOTOR = 0x10 };
enum msr_bit { MSR_BUSY = 0x10, MSR_NON_DMA = 0x20, MSR_TO_HOST = 0x40, MSR_READY = 0x80 };
enum st0_bit {
    ST0_CHECK = 0x10,
    ST0_SEEK = 0x20,
    ST0_ABNORMAL = 0x40,
    ST0_INVALID = 0x80,
    ST0_POLL = 0xc0
};
enum st1_bit {
    ST1_NO_MARK = 0x01,
    ST1_NOT_WRITABLE = 0x02,
    ST1_NO_DATA = 0x04,
    ST1_OVERRUN = 0x10,
    ST1_DATA = 0x20,
    ST1_END = 0x80
};
enum st2_bit { ST2_WRONG_CYLINDER = 0x10, ST2_DATA = 0x20 };
enum st3_bit { ST3_TWO_SIDES = 0x08, ST3_TRACK0 = 0x10, ST3_READY = 0x20, ST3_PROTECTED = 0x40 };
enum configure_bit { CONFIG_NO_POLL = 0x10, CONFIG_NO_FIFO = 0x20, CONFIG_IMPLIED_SEEK = 0x40 };

enum phase { PHASE_RESET, PHASE_COMMAND, PHASE_EXECUTION, PHASE_RESULT };
/* What is going on in PHASE_EXECUTION. */
enum step { STEP_NONE, STEP_DISK, STEP_HOST, STEP_WAIT };
enum kind { KIND_READ, KIND_WRITE, KIND_FORMAT };

enum drive_type { TYPE_144, TYPE_288, TYPE_120, TYPE_NONE, TYPE_AUTO };
const char *const fdc_type_words[] = {"144", "288", "120", "none", "auto", NULL};

/* Disks, by size. The rate is what CCR says for them. */
static const struct format {
    uint16_t kilobytes;
    uint8_t cylinders, heads, sectors, rate;
    uint8_t type; /* drive that it is for */
} formats[] = {
    {160, 40, 1, 8, 1, TYPE_120},   {180, 40, 1, 9, 1, TYPE_120},   {320, 40, 2, 8, 1, TYPE_120},
    {360, 40, 2, 9, 1, TYPE_120},   {720, 80, 2, 9, 2, TYPE_144},   {1200, 80, 2, 15, 0, TYPE_120},
    {1440, 80, 2, 18, 0, TYPE_144}, {1680, 80, 2, 21, 0, TYPE_144}, {1722, 82, 2, 21, 0, TYPE_144},
    {2880, 80, 2, 36, 3, TYPE_288},
};

struct floppy {
    struct drive *drive; /* NULL: no drive, unless the type says so */
    struct fdc *fdc;
    const struct format *format; /* of the disk; NULL: none */
    uint8_t wanted_type;         /* property */
    uint8_t type;
    int32_t bootindex;
    uint8_t track, target;
    bool disk_changed;
    struct timer seek;
};

struct fdc {
    struct device device;
    struct mem_region ports, dir_port;
    uint32_t base, irq_number, channel; /* properties */
    uint8_t fallback;
    struct irq irq;
    struct floppy floppy[DRIVES];
    struct timer timer; /* end of a reset, of STEP_WAIT */
    struct block_request request;

    uint8_t dor, tdr, dsr, rate;
    bool interrupt;
    uint8_t phase, step, kind;
    uint8_t command[COMMAND_BYTES], count, wanted; /* bytes there, and needed */
    uint8_t result[RESULT_BYTES], result_at, result_size;
    uint8_t sense[UNITS]; /* ST0 that SENSE INTERRUPT tells; 0: nothing */
    uint8_t seeking;      /* a bit a drive: until it is told */
    uint8_t pcn[UNITS];   /* where the controller believes the heads to be */
    /* Settings. */
    uint8_t specify[2], configure, pretrack, perpendicular;
    bool lock;
    /* The transfer. */
    uint8_t unit, cylinder, head, sector, last, size_code;
    bool two_sides, terminal, by_dma, to_host, verify;
    uint16_t position;
    uint8_t left; /* sectors to format */
    uint8_t turn; /* READ ID: the sector that comes by */
    uint8_t data[SECTOR];
};

/* --- drives --- */

static const struct format *find_format(const struct drive *drive)
{
    uint64_t size = drive && drive_has_medium(drive) ? drive_size(drive) : 0;
    size_t count = sizeof(formats) / sizeof(formats[0]);
    if (!size) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (size <= formats[i].kilobytes * UINT64_C(1024)) {
            return &formats[i];
        }
    }
    return &formats[count - 1];
}

static struct floppy *floppy_of(struct fdc *fdc, unsigned unit)
{
    return unit < DRIVES && fdc->floppy[unit].type != TYPE_NONE ? &fdc->floppy[unit] : NULL;
}

/* A disk that turns. */
static struct floppy *turning(struct fdc *fdc, unsigned unit)
{
    struct floppy *floppy = floppy_of(fdc, unit);
    return floppy && floppy->format && fdc->dor & DOR_MOTOR << unit ? floppy : NULL;
}

unsigned fdc_cmos_type(const struct device *device, unsigned number)
{
    static const uint8_t types[] = {
        [TYPE_144] = 4, [TYPE_288] = 5, [TYPE_120] = 2, [TYPE_NONE] = 0, [TYPE_AUTO] = 0};
    return types[((const struct fdc *)device)->floppy[number & 1].type];
}

static void medium_changed(void *opaque, bool loaded)
{
    struct floppy *floppy = opaque;
    (void)loaded;
    floppy->format = find_format(floppy->drive);
    floppy->disk_changed = true;
}

static const struct drive_user floppy_user = {medium_changed, NULL, NULL};

/* --- the interrupt line, and who asks for it --- */

static void set_interrupt(struct fdc *fdc, bool level)
{
    fdc->interrupt = level;
    irq_set(fdc->irq, level && fdc->dor & DOR_DMA);
}

static uint64_t now(const struct fdc *fdc)
{
    return clock_now(fdc->device.board->clock);
}

static void dma_request_line(struct fdc *fdc, bool level)
{
    const struct isa_dma *dma = fdc->device.board->isa->dma;
    if (dma) {
        dma->request(dma->opaque, fdc->channel, level);
    }
}

/* --- phases --- */

static void to_command(struct fdc *fdc)
{
    fdc->phase = PHASE_COMMAND;
    fdc->step = STEP_NONE;
    fdc->count = 0;
    fdc->wanted = 1;
}

static void to_result(struct fdc *fdc, uint8_t size, bool interrupt)
{
    fdc->phase = PHASE_RESULT;
    fdc->step = STEP_NONE;
    fdc->result_at = 0;
    fdc->result_size = size;
    if (interrupt) {
        set_interrupt(fdc, true);
    }
}

static void answer(struct fdc *fdc, uint8_t value)
{
    fdc->result[0] = value;
    to_result(fdc, 1, false);
}

/* --- ends of transfers --- */

static void end_transfer(struct fdc *fdc, uint8_t st0, uint8_t st1, uint8_t st2)
{
    dma_request_line(fdc, false);
    timer_stop(&fdc->timer);
    fdc->result[0] = (uint8_t)(st0 | fdc->head << 2 | fdc->unit);
    fdc->result[1] = st1;
    fdc->result[2] = st2;
    fdc->result[3] = fdc->cylinder;
    fdc->result[4] = fdc->head;
    fdc->result[5] = fdc->sector;
    fdc->result[6] = fdc->size_code;
    to_result(fdc, 7, true);
}

static void fail_transfer(struct fdc *fdc, uint8_t st1, uint8_t st2)
{
    end_transfer(fdc, ST0_ABNORMAL, st1, st2);
}

/* The next sector (table 5-3). False: it was the last of the command's. */
static bool next_sector(struct fdc *fdc)
{
    if (fdc->sector != fdc->last) {
        fdc->sector++;
        return true;
    }
    fdc->sector = 1;
    if (fdc->two_sides && !fdc->head) {
        fdc->head = 1;
        return true;
    }
    if (fdc->two_sides) {
        fdc->head = 0;
    }
    fdc->cylinder++;
    return false;
}

/* --- transfers --- */

static void start_sector(struct fdc *fdc);

static void wait_then_start(struct fdc *fdc, uint64_t nanoseconds)
{
    fdc->step = STEP_WAIT;
    timer_set(&fdc->timer, now(fdc) + nanoseconds);
}

/* The sector is through on both sides. */
static void sector_done(struct fdc *fdc)
{
    if (fdc->kind == KIND_FORMAT) {
        if (--fdc->left && !fdc->terminal) {
            wait_then_start(fdc, SECTOR_NS);
        } else {
            end_transfer(fdc, 0, 0, 0);
        }
        return;
    }
    bool more = next_sector(fdc);
    if (fdc->terminal) {
        end_transfer(fdc, 0, 0, 0);
    } else if (more) {
        wait_then_start(fdc, SECTOR_NS);
    } else {
        /* The host wanted more than there is. */
        if (fdc->verify) {
            end_transfer(fdc, 0, 0, 0);
        } else {
            fail_transfer(fdc, ST1_END, 0);
        }
    }
}

static void to_host_side(struct fdc *fdc)
{
    fdc->step = STEP_HOST;
    fdc->position = 0;
    if (fdc->by_dma) {
        dma_request_line(fdc, true);
    } else {
        set_interrupt(fdc, true);
    }
}

static void disk_done(void *opaque, int result)
{
    struct fdc *fdc = opaque;
    if (result) {
        fail_transfer(fdc, fdc->to_host ? ST1_DATA : ST1_NOT_WRITABLE, fdc->to_host ? ST2_DATA : 0);
    } else if (fdc->to_host && !fdc->verify) {
        to_host_side(fdc);
    } else {
        sector_done(fdc);
    }
}

/* The place of the current sector; false: it is not on the disk. */
static bool place(struct fdc *fdc, uint64_t *offset)
{
    const struct floppy *floppy = turning(fdc, fdc->unit);
    if (!floppy) {
        return false;
    }
    const struct format *format = floppy->format;
    if (floppy->track >= format->cylinders || fdc->head >= format->heads || !fdc->sector ||
        fdc->sector > format->sectors) {
        return false;
    }
    *offset = ((uint64_t)(floppy->track * format->heads + fdc->head) * format->sectors +
               fdc->sector - 1u) *
              SECTOR;
    return *offset + SECTOR <= drive_size(floppy->drive);
}

static void send(struct fdc *fdc, enum block_op op, uint64_t offset)
{
    fdc->step = STEP_DISK;
    fdc->request.drive = fdc->floppy[fdc->unit].drive;
    fdc->request.op = op;
    fdc->request.offset = offset;
    fdc->request.bytes = SECTOR;
    fdc->request.buffer = fdc->data;
    fdc->request.done = disk_done;
    fdc->request.opaque = fdc;
    block_submit(&fdc->request);
}

/* What is wrong with the sector's address is found out when its mark does not come by. */
static bool check_sector(struct fdc *fdc, uint64_t *offset)
{
    const struct floppy *floppy = turning(fdc, fdc->unit);
    if (!floppy || fdc->rate != floppy->format->rate ||
        floppy->track >= floppy->format->cylinders) {
        fail_transfer(fdc, ST1_NO_MARK, 0);
    } else if (fdc->kind != KIND_READ && drive_is_readonly(floppy->drive)) {
        fail_transfer(fdc, ST1_NOT_WRITABLE, 0);
    } else if (fdc->kind != KIND_FORMAT && fdc->cylinder != floppy->track) {
        fail_transfer(fdc, ST1_NO_DATA, ST2_WRONG_CYLINDER);
    } else if (fdc->size_code != SECTOR_CODE || !place(fdc, offset)) {
        fail_transfer(fdc, ST1_NO_DATA, 0);
    } else {
        return true;
    }
    return false;
}

static void start_sector(struct fdc *fdc)
{
    uint64_t offset;
    if (fdc->kind == KIND_FORMAT) {
        to_host_side(fdc); /* four bytes say which sector it is */
        return;
    }
    if (!check_sector(fdc, &offset)) {
        return;
    }
    trace_fdc_transfer(fdc->to_host, fdc->unit, fdc->cylinder, fdc->head, fdc->sector);
    if (fdc->to_host) {
        send(fdc, BLOCK_READ, offset);
    } else {
        to_host_side(fdc);
    }
}

/* The host has given all bytes of the sector, or those it has. */
static void host_has_written(struct fdc *fdc)
{
    uint64_t offset;
    if (fdc->kind == KIND_FORMAT) {
        fdc->cylinder = fdc->data[0];
        fdc->head = fdc->data[1] & 1;
        fdc->sector = fdc->data[2];
        fdc->size_code = fdc->data[3];
        memset(fdc->data, fdc->command[5], SECTOR);
    } else {
        memset(fdc->data + fdc->position, 0, (size_t)SECTOR - fdc->position);
    }
    if (check_sector(fdc, &offset)) {
        send(fdc, BLOCK_WRITE, offset);
    }
}

static uint16_t host_bytes(const struct fdc *fdc)
{
    return fdc->kind == KIND_FORMAT ? 4 : SECTOR;
}

static void host_side_done(struct fdc *fdc)
{
    dma_request_line(fdc, false);
    set_interrupt(fdc, false);
    if (fdc->to_host) {
        sector_done(fdc);
    } else {
        host_has_written(fdc);
    }
}

/* The DMA controller's call. */
static size_t transfer(void *opaque, unsigned channel, size_t position, size_t size)
{
    struct fdc *fdc = opaque;
    const struct isa_dma *dma = fdc->device.board->isa->dma;
    if (fdc->phase != PHASE_EXECUTION || fdc->step != STEP_HOST || !fdc->by_dma) {
        dma_request_line(fdc, false);
        return 0;
    }
    size_t part = (size_t)host_bytes(fdc) - fdc->position;
    part = part < size ? part : size;
    uint8_t *at = fdc->data + fdc->position;
    bool good = fdc->to_host ? dma->write(dma->opaque, channel, at, position, part)
                             : dma->read(dma->opaque, channel, at, position, part);
    if (!good) {
        device_guest_error(&fdc->device, "DMA channel %u is not set up for this direction",
                           channel);
        fail_transfer(fdc, ST1_OVERRUN, 0);
        return 0;
    }
    fdc->position = (uint16_t)(fdc->position + part);
    fdc->terminal = part == size;
    if (fdc->terminal || fdc->position == host_bytes(fdc)) {
        host_side_done(fdc);
    }
    return part;
}

static uint8_t data_read(struct fdc *fdc)
{
    uint8_t value = fdc->data[fdc->position++];
    if (fdc->position == SECTOR) {
        host_side_done(fdc);
    }
    return value;
}

static void data_write(struct fdc *fdc, uint8_t value)
{
    fdc->data[fdc->position++] = value;
    if (fdc->position == host_bytes(fdc)) {
        host_side_done(fdc);
    }
}

static void timer_fired(void *opaque, uint64_t time)
{
    (void)time;
    struct fdc *fdc = opaque;
    if (fdc->phase == PHASE_RESET) {
        to_command(fdc);
        if (!(fdc->configure & CONFIG_NO_POLL)) {
            for (unsigned i = 0; i < UNITS; i++) {
                fdc->sense[i] = (uint8_t)(ST0_POLL | i);
            }
            set_interrupt(fdc, true);
        }
    } else if (fdc->phase == PHASE_EXECUTION && fdc->step == STEP_WAIT) {
        start_sector(fdc);
    }
}

/* --- commands --- */

static void select_unit(struct fdc *fdc)
{
    fdc->unit = fdc->command[1] & 3;
    fdc->head = fdc->command[1] >> 2 & 1;
}

static void begin_transfer(struct fdc *fdc, enum kind kind)
{
    select_unit(fdc);
    fdc->kind = (uint8_t)kind;
    fdc->phase = PHASE_EXECUTION;
    fdc->to_host = kind == KIND_READ;
    fdc->verify = false;
    fdc->terminal = false;
    fdc->by_dma = !(fdc->specify[1] & 1) && fdc->device.board->isa->dma;
    fdc->position = 0;
    wait_then_start(fdc, turning(fdc, fdc->unit) ? SECTOR_NS : NO_DISK_NS);
}

static void begin_sectors(struct fdc *fdc, enum kind kind)
{
    begin_transfer(fdc, kind);
    fdc->two_sides = fdc->command[0] & 0x80;
    fdc->cylinder = fdc->command[2];
    fdc->head = fdc->command[3] & 1;
    fdc->sector = fdc->command[4];
    fdc->size_code = fdc->command[5];
    fdc->last = fdc->command[6];
    struct floppy *floppy = floppy_of(fdc, fdc->unit);
    if (fdc->configure & CONFIG_IMPLIED_SEEK && floppy) {
        floppy->track = fdc->cylinder < TRACK_LARGEST ? fdc->cylinder : TRACK_LARGEST;
        fdc->pcn[fdc->unit] = floppy->track;
        floppy->disk_changed = !floppy->format;
    }
}

static void do_read(struct fdc *fdc)
{
    begin_sectors(fdc, KIND_READ);
}

/* All sectors of the track, from the first on. */
static void do_read_track(struct fdc *fdc)
{
    begin_sectors(fdc, KIND_READ);
    fdc->two_sides = false;
    fdc->sector = 1;
}

static void do_write(struct fdc *fdc)
{
    begin_sectors(fdc, KIND_WRITE);
}

static void do_verify(struct fdc *fdc)
{
    begin_sectors(fdc, KIND_READ);
    fdc->verify = true;
}

static void do_format(struct fdc *fdc)
{
    begin_transfer(fdc, KIND_FORMAT);
    fdc->left = fdc->command[3];
    fdc->size_code = fdc->command[2];
    if (!fdc->left) {
        end_transfer(fdc, 0, 0, 0);
    }
}

static void do_read_id(struct fdc *fdc)
{
    select_unit(fdc);
    const struct floppy *floppy = turning(fdc, fdc->unit);
    fdc->cylinder = fdc->pcn[fdc->unit];
    fdc->size_code = SECTOR_CODE;
    fdc->sector = 1;
    if (!floppy || fdc->rate != floppy->format->rate || fdc->head >= floppy->format->heads ||
        floppy->track >= floppy->format->cylinders) {
        fail_transfer(fdc, ST1_NO_MARK, 0);
        return;
    }
    fdc->cylinder = floppy->track;
    fdc->turn = (uint8_t)(fdc->turn % floppy->format->sectors + 1);
    fdc->sector = fdc->turn;
    end_transfer(fdc, 0, 0, 0);
}

static void do_specify(struct fdc *fdc)
{
    fdc->specify[0] = fdc->command[1];
    fdc->specify[1] = fdc->command[2];
    to_command(fdc);
}

/* The head has come to its track. */
static void seek_done(void *opaque, uint64_t time)
{
    (void)time;
    struct floppy *floppy = opaque;
    struct fdc *fdc = floppy->fdc;
    unsigned unit = (unsigned)(floppy - fdc->floppy);
    floppy->disk_changed = !floppy->format;
    floppy->track = floppy->target;
    fdc->sense[unit] = (uint8_t)(ST0_SEEK | unit);
    set_interrupt(fdc, true);
}

static void seek(struct fdc *fdc, unsigned unit, unsigned track, bool recalibrate)
{
    struct floppy *floppy = floppy_of(fdc, unit);
    fdc->seeking |= (uint8_t)(1 << unit);
    fdc->pcn[unit] = (uint8_t)track;
    to_command(fdc);
    if (!floppy) {
        /* Steps go nowhere; track 0 does not come. */
        fdc->sense[unit] =
            (uint8_t)(ST0_SEEK | (recalibrate ? ST0_ABNORMAL | ST0_CHECK : 0) | unit);
        set_interrupt(fdc, true);
        return;
    }
    floppy->target = (uint8_t)(track < TRACK_LARGEST ? track : TRACK_LARGEST);
    unsigned steps = floppy->target > floppy->track ? floppy->target - floppy->track
                                                    : floppy->track - floppy->target;
    timer_set(&floppy->seek, now(fdc) + (steps + 1) * (uint64_t)STEP_NS);
}

static void do_recalibrate(struct fdc *fdc)
{
    seek(fdc, fdc->command[1] & 3, 0, true);
}

static void do_seek(struct fdc *fdc)
{
    seek(fdc, fdc->command[1] & 3, fdc->command[2], false);
}

static void do_relative_seek(struct fdc *fdc)
{
    unsigned unit = fdc->command[1] & 3, track = fdc->pcn[unit], steps = fdc->command[2];
    if (fdc->command[0] & 0x40) {
        track = track + steps > UINT8_MAX ? UINT8_MAX : track + steps;
    } else {
        track = track > steps ? track - steps : 0;
    }
    seek(fdc, unit, track, false);
}

static void do_sense_interrupt(struct fdc *fdc)
{
    set_interrupt(fdc, false);
    for (unsigned i = 0; i < UNITS; i++) {
        if (!fdc->sense[i]) {
            continue;
        }
        fdc->result[0] = fdc->sense[i];
        fdc->result[1] = fdc->pcn[i];
        fdc->sense[i] = 0;
        fdc->seeking &= (uint8_t) ~(1 << i);
        to_result(fdc, 2, false);
        return;
    }
    answer(fdc, ST0_INVALID);
}

static void do_sense_drive(struct fdc *fdc)
{
    select_unit(fdc);
    const struct floppy *floppy = floppy_of(fdc, fdc->unit);
    uint8_t st3 = (uint8_t)(ST3_READY | ST3_TWO_SIDES | fdc->head << 2 | fdc->unit);
    if (floppy && !floppy->track) {
        st3 |= ST3_TRACK0;
    }
    if (floppy && floppy->format && drive_is_readonly(floppy->drive)) {
        st3 |= ST3_PROTECTED;
    }
    answer(fdc, st3);
}

static void do_configure(struct fdc *fdc)
{
    fdc->configure = fdc->command[2] & 0x7f;
    fdc->pretrack = fdc->command[3];
    to_command(fdc);
}

static void do_perpendicular(struct fdc *fdc)
{
    uint8_t value = fdc->command[1];
    /* The drives' bits change only with OW set. */
    fdc->perpendicular =
        (uint8_t)((value & 0x80 ? value & 0x3c : fdc->perpendicular & 0x3c) | (value & 3));
    to_command(fdc);
}

static void do_lock(struct fdc *fdc)
{
    fdc->lock = fdc->command[0] & 0x80;
    answer(fdc, fdc->lock ? 0x10 : 0);
}

static void do_dump_registers(struct fdc *fdc)
{
    memcpy(fdc->result, fdc->pcn, UNITS);
    fdc->result[4] = fdc->specify[0];
    fdc->result[5] = fdc->specify[1];
    fdc->result[6] = fdc->last;
    fdc->result[7] = (uint8_t)((fdc->lock ? 0x80 : 0) | fdc->perpendicular);
    fdc->result[8] = fdc->configure;
    fdc->result[9] = fdc->pretrack;
    to_result(fdc, 10, false);
}

static void do_version(struct fdc *fdc)
{
    answer(fdc, 0x90); /* enhanced */
}

static void do_part_id(struct fdc *fdc)
{
    answer(fdc, 0x41);
}

static void do_invalid(struct fdc *fdc)
{
    answer(fdc, ST0_INVALID);
}

static const struct {
    uint8_t mask, code, bytes;
    const char *name;
    void (*run)(struct fdc *fdc);
} commands[] = {
    /* clang-format off */
    {0x1f, 0x06, 9, "READ DATA", do_read},
    {0x1f, 0x0c, 9, "READ DELETED DATA", do_read},
    {0x9f, 0x02, 9, "READ TRACK", do_read_track},
    {0x3f, 0x05, 9, "WRITE DATA", do_write},
    {0x3f, 0x09, 9, "WRITE DELETED DATA", do_write},
    {0x1f, 0x16, 9, "VERIFY", do_verify},
    {0xbf, 0x0d, 6, "FORMAT TRACK", do_format},
    {0xbf, 0x0a, 2, "READ ID", do_read_id},
    {0xff, 0x07, 2, "RECALIBRATE", do_recalibrate},
    {0xff, 0x08, 1, "SENSE INTERRUPT STATUS", do_sense_interrupt},
    {0xff, 0x03, 3, "SPECIFY", do_specify},
    {0xff, 0x04, 2, "SENSE DRIVE STATUS", do_sense_drive},
    {0xff, 0x0f, 3, "SEEK", do_seek},
    {0xbf, 0x8f, 3, "RELATIVE SEEK", do_relative_seek},
    {0xff, 0x10, 1, "VERSION", do_version},
    {0xff, 0x12, 2, "PERPENDICULAR MODE", do_perpendicular},
    {0xff, 0x13, 4, "CONFIGURE", do_configure},
    {0x7f, 0x14, 1, "LOCK", do_lock},
    {0xff, 0x0e, 1, "DUMPREG", do_dump_registers},
    {0xff, 0x18, 1, "PART ID", do_part_id},
    {0x00, 0x00, 1, "INVALID", do_invalid},
    /* clang-format on */
};

static size_t find_command(uint8_t code)
{
    size_t i = 0;
    while ((code & commands[i].mask) != commands[i].code) {
        i++;
    }
    return i;
}

static void command_byte(struct fdc *fdc, uint8_t value)
{
    if (!fdc->count) {
        fdc->wanted = commands[find_command(value)].bytes;
    }
    fdc->command[fdc->count++] = value;
    if (fdc->count < fdc->wanted) {
        return;
    }
    size_t i = find_command(fdc->command[0]);
    trace_fdc_command(fdc->command[0], commands[i].name);
    if (commands[i].run == do_invalid) {
        device_guest_error(&fdc->device, "no command 0x%02x", fdc->command[0]);
    }
    commands[i].run(fdc);
}

/* --- registers --- */

static void controller_reset(struct fdc *fdc)
{
    block_cancel(&fdc->request);
    dma_request_line(fdc, false);
    set_interrupt(fdc, false);
    timer_stop(&fdc->timer);
    for (unsigned i = 0; i < DRIVES; i++) {
        timer_stop(&fdc->floppy[i].seek);
    }
    memset(fdc->sense, 0, sizeof(fdc->sense));
    memset(fdc->pcn, 0, sizeof(fdc->pcn));
    fdc->seeking = 0;
    fdc->phase = PHASE_RESET;
    fdc->step = STEP_NONE;
    fdc->count = 0;
    fdc->perpendicular &= 0x3c;
    if (!fdc->lock) {
        fdc->configure = CONFIG_NO_FIFO;
        fdc->pretrack = 0;
    }
}

static void leave_reset(struct fdc *fdc)
{
    timer_set(&fdc->timer, now(fdc) + RESET_NS);
}

static void dor_write(struct fdc *fdc, uint8_t value)
{
    uint8_t before = fdc->dor;
    fdc->dor = value;
    if (!(value & DOR_NOT_RESET)) {
        if (before & DOR_NOT_RESET) {
            controller_reset(fdc);
        }
    } else if (!(before & DOR_NOT_RESET)) {
        leave_reset(fdc);
    }
    irq_set(fdc->irq, fdc->interrupt && value & DOR_DMA);
}

static void dsr_write(struct fdc *fdc, uint8_t value)
{
    fdc->dsr = value & 0x7f;
    fdc->rate = value & 3;
    if (value & 0x80 && fdc->dor & DOR_NOT_RESET) {
        controller_reset(fdc);
        leave_reset(fdc);
    }
}

static bool at_fifo(const struct fdc *fdc)
{
    return fdc->phase == PHASE_EXECUTION && fdc->step == STEP_HOST && !fdc->by_dma;
}

static uint8_t msr_read(const struct fdc *fdc)
{
    uint8_t value = fdc->seeking & ((1 << UNITS) - 1);
    switch (fdc->phase) {
    case PHASE_RESET: return 0;
    case PHASE_COMMAND: return (uint8_t)(value | MSR_READY | (fdc->count ? MSR_BUSY : 0));
    case PHASE_RESULT: return value | MSR_READY | MSR_TO_HOST | MSR_BUSY;
    default: break;
    }
    value |= MSR_BUSY;
    if (!fdc->by_dma) {
        value |= MSR_NON_DMA;
    }
    if (at_fifo(fdc)) {
        value |= MSR_READY | (fdc->to_host ? MSR_TO_HOST : 0);
    }
    return value;
}

static uint8_t fifo_read(struct fdc *fdc)
{
    if (at_fifo(fdc) && fdc->to_host) {
        return data_read(fdc);
    }
    if (fdc->phase != PHASE_RESULT) {
        device_guest_error(&fdc->device, "FIFO read while there is nothing to read");
        return 0;
    }
    uint8_t value = fdc->result[fdc->result_at++];
    set_interrupt(fdc, false);
    if (fdc->result_at < fdc->result_size) {
        return value;
    }
    to_command(fdc);
    for (unsigned i = 0; i < UNITS; i++) {
        /* Another drive has come to its track meanwhile; after a reset only one interrupt comes. */
        if (fdc->sense[i] && (fdc->sense[i] & ST0_POLL) != ST0_POLL) {
            set_interrupt(fdc, true);
        }
    }
    return value;
}

static void fifo_write(struct fdc *fdc, uint8_t value)
{
    fdc->dsr &= 0x3f; /* wakes up */
    if (at_fifo(fdc) && !fdc->to_host) {
        data_write(fdc, value);
    } else if (fdc->phase == PHASE_COMMAND) {
        command_byte(fdc, value);
    } else {
        device_guest_error(&fdc->device, "FIFO written (0x%02x) while it is not ready", value);
    }
}

static uint8_t dir_read(struct fdc *fdc)
{
    unsigned unit = fdc->dor & 3;
    const struct floppy *floppy = floppy_of(fdc, unit);
    bool changed =
        floppy && fdc->dor & DOR_MOTOR << unit && (floppy->disk_changed || !floppy->format);
    return changed ? 0x80 : 0;
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    struct fdc *fdc = opaque;
    uint8_t value;
    switch (offset) {
    case DOR: value = fdc->dor; break;
    case TDR: value = fdc->tdr; break;
    case MSR: value = msr_read(fdc); break;
    case FIFO: value = fifo_read(fdc); break;
    case DIR: value = dir_read(fdc); break;
    default: value = 0xff; break; /* SRA and SRB are not of the AT */
    }
    trace_fdc_ioport_read((uint8_t)offset, value);
    return value;
}

static void ports_write(void *opaque, uint64_t offset, uint64_t data, unsigned size)
{
    (void)size;
    struct fdc *fdc = opaque;
    uint8_t value = (uint8_t)data;
    trace_fdc_ioport_write((uint8_t)offset, value);
    switch (offset) {
    case DOR: dor_write(fdc, value); break;
    case TDR: fdc->tdr = value & 3; break;
    case MSR: dsr_write(fdc, value); break;
    case FIFO: fifo_write(fdc, value); break;
    case DIR: fdc->rate = value & 3; break;
    default: break;
    }
}

static uint64_t dir_port_read(void *opaque, uint64_t offset, unsigned size)
{
    return ports_read(opaque, offset + DIR, size);
}

static void dir_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    ports_write(opaque, offset + DIR, value, size);
}

static const struct mem_field dor_fields[] = {
    {"SELECT", 0, 2}, {"NOT_RESET", 2, 1}, {"DMA", 3, 1}, {"MOTORS", 4, 4}, {NULL, 0, 0}};
static const struct mem_field msr_fields[] = {{"SEEKING", 0, 4}, {"BUSY", 4, 1}, {"NON_DMA", 5, 1},
                                              {"DIO", 6, 1},     {"RQM", 7, 1},  {NULL, 0, 0}};
static const struct mem_field dsr_fields[] = {
    {"RATE", 0, 2}, {"POWER_DOWN", 6, 1}, {"RESET", 7, 1}, {NULL, 0, 0}};

static const struct mem_register registers[] = {
    {SRA, 1, MEM_R, "SRA", NULL},        {SRB, 1, MEM_R, "SRB", NULL},
    {DOR, 1, MEM_RW, "DOR", dor_fields}, {TDR, 1, MEM_RW, "TDR", NULL},
    {MSR, 1, MEM_R, "MSR", msr_fields},  {MSR, 1, MEM_W, "DSR", dsr_fields},
    {FIFO, 1, MEM_RW, "FIFO", NULL},     {0, 0, 0, NULL, NULL},
};
static const struct mem_register dir_registers[] = {
    {0, 1, MEM_R, "DIR", NULL}, {0, 1, MEM_W, "CCR", NULL}, {0, 0, 0, NULL, NULL}};

static const struct mem_ops ports_ops = {
    .read = ports_read,
    .write = ports_write,
    .impl_min = 1,
    .impl_max = 1,
    .registers = registers,
};
static const struct mem_ops dir_ops = {
    .read = dir_port_read,
    .write = dir_port_write,
    .impl_min = 1,
    .impl_max = 1,
    .registers = dir_registers,
};

/* --- the class --- */

/* auto: the drive is one for the disk in it, else `fallback`; without a -drive there is none. */
static void choose_type(struct fdc *fdc, struct floppy *floppy)
{
    floppy->format = find_format(floppy->drive);
    floppy->type = floppy->wanted_type;
    if (!floppy->drive) {
        floppy->type = TYPE_NONE;
    } else if (floppy->type == TYPE_AUTO) {
        floppy->type = floppy->format ? floppy->format->type : fdc->fallback;
    }
}

bool fdc_put_in(struct device *device, uint32_t *unit, struct drive *drive, uint8_t type,
                struct error *err)
{
    struct fdc *fdc = (struct fdc *)device;
    if (*unit == UINT32_MAX) {
        *unit = fdc->floppy[0].drive ? 1 : 0;
    }
    if (*unit >= DRIVES) {
        return error_set(err, "Can't create floppy unit %u, bus supports only %d units", *unit,
                         DRIVES);
    }
    struct floppy *floppy = &fdc->floppy[*unit];
    if (floppy->drive) {
        return error_set(err, "Floppy unit %u is in use", *unit);
    }
    if (!drive_attach(drive, &floppy_user, floppy, err)) {
        return false;
    }
    drive_set_removable(drive, true);
    floppy->drive = drive;
    floppy->wanted_type = type;
    choose_type(fdc, floppy);
    return true;
}

void fdc_take_out(struct device *device, uint32_t unit)
{
    struct fdc *fdc = (struct fdc *)device;
    struct floppy *floppy = &fdc->floppy[unit];
    if (fdc->request.drive == floppy->drive) {
        block_cancel(&fdc->request);
    }
    drive_detach(floppy->drive);
    floppy->drive = NULL;
    choose_type(fdc, floppy);
}

static bool realize(struct device *device, struct error *err)
{
    struct fdc *fdc = (struct fdc *)device;
    const struct isa_dma *dma = device->board->isa ? device->board->isa->dma : NULL;
    if (fdc->fallback >= TYPE_NONE) {
        return error_set(err, "isa-fdc: fallback must be 144, 288 or 120");
    }
    if (fdc->channel > 3 || fdc->base > 0xfff8) {
        return error_set(err, "isa-fdc: dma must be a channel from 0 to 3, iobase a port");
    }
    if (!isa_irq(device, fdc->irq_number, &fdc->irq, err)) {
        return false;
    }
    timer_init(&fdc->timer, device->board->clock, timer_fired, fdc);
    for (unsigned i = 0; i < DRIVES; i++) {
        struct floppy *floppy = &fdc->floppy[i];
        timer_init(&floppy->seek, device->board->clock, seek_done, floppy);
        floppy->fdc = fdc;
        if (floppy->drive && !drive_attach(floppy->drive, &floppy_user, floppy, err)) {
            floppy->drive = NULL;
            return false;
        }
        if (floppy->drive) {
            drive_set_removable(floppy->drive, true);
        }
        choose_type(fdc, floppy);
    }
    isa_add_ports(device, &fdc->ports, "fdc", (uint16_t)fdc->base, FIFO + 1, &ports_ops);
    isa_add_ports(device, &fdc->dir_port, "fdc", (uint16_t)(fdc->base + DIR), 1, &dir_ops);
    if (dma) {
        dma->attach(dma->opaque, fdc->channel, transfer, fdc);
    }
    return true;
}

static void reset(struct device *device)
{
    struct fdc *fdc = (struct fdc *)device;
    fdc->lock = false;
    controller_reset(fdc);
    fdc->dor = 0; /* until the firmware ends the reset */
    fdc->tdr = 0;
    fdc->dsr = fdc->rate = 2;
    fdc->specify[0] = fdc->specify[1] = 0;
    fdc->perpendicular = 0;
    fdc->last = 0;
    fdc->turn = 0;
    for (unsigned i = 0; i < DRIVES; i++) {
        fdc->floppy[i].track = fdc->floppy[i].target = 0;
        fdc->floppy[i].disk_changed = true;
    }
}

static bool loaded(struct device *device, struct error *err)
{
    struct fdc *fdc = (struct fdc *)device;
    block_cancel(&fdc->request);
    bool wrong = fdc->phase > PHASE_RESULT || fdc->step > STEP_WAIT || fdc->kind > KIND_FORMAT ||
                 fdc->unit >= UNITS || fdc->wanted > COMMAND_BYTES || fdc->count > fdc->wanted ||
                 fdc->position > host_bytes(fdc) || fdc->result_size > RESULT_BYTES;
    switch (fdc->phase) {
    case PHASE_COMMAND: wrong = wrong || fdc->count >= fdc->wanted; break;
    case PHASE_RESULT: wrong = wrong || fdc->result_at >= fdc->result_size; break;
    default: wrong = wrong || (fdc->step == STEP_HOST && fdc->position >= host_bytes(fdc)); break;
    }
    if (wrong) {
        return error_set(err, "isa-fdc: the command's fields do not fit together");
    }
    if (fdc->phase == PHASE_EXECUTION && fdc->step == STEP_DISK) {
        uint64_t offset;
        if (check_sector(fdc, &offset)) {
            send(fdc, fdc->to_host ? BLOCK_READ : BLOCK_WRITE, offset);
        }
    }
    irq_set(fdc->irq, fdc->interrupt && fdc->dor & DOR_DMA);
    return true;
}

static void free_fdc(struct device *device)
{
    struct fdc *fdc = (struct fdc *)device;
    block_cancel(&fdc->request);
    timer_stop(&fdc->timer);
    for (unsigned i = 0; i < DRIVES; i++) {
        timer_stop(&fdc->floppy[i].seek);
        if (fdc->floppy[i].drive && fdc->floppy[i].fdc) {
            drive_detach(fdc->floppy[i].drive);
        }
    }
    mem_free(&fdc->ports);
    mem_free(&fdc->dir_port);
}

static const struct device_field floppy_fields[] = {
    FIELD(struct floppy, track, FIELD_U8),
    FIELD(struct floppy, target, FIELD_U8),
    FIELD(struct floppy, disk_changed, FIELD_BOOL),
    FIELD(struct floppy, seek, FIELD_TIMER),
    FIELD_END,
};

static const struct device_field fields[] = {
    FIELD_STRUCTS(struct fdc, floppy, floppy_fields),
    FIELD(struct fdc, timer, FIELD_TIMER),
    FIELD(struct fdc, dor, FIELD_U8),
    FIELD(struct fdc, tdr, FIELD_U8),
    FIELD(struct fdc, dsr, FIELD_U8),
    FIELD(struct fdc, rate, FIELD_U8),
    FIELD(struct fdc, interrupt, FIELD_BOOL),
    FIELD(struct fdc, phase, FIELD_U8),
    FIELD(struct fdc, step, FIELD_U8),
    FIELD(struct fdc, kind, FIELD_U8),
    FIELD_ARRAY(struct fdc, command, FIELD_U8),
    FIELD(struct fdc, count, FIELD_U8),
    FIELD(struct fdc, wanted, FIELD_U8),
    FIELD_ARRAY(struct fdc, result, FIELD_U8),
    FIELD(struct fdc, result_at, FIELD_U8),
    FIELD(struct fdc, result_size, FIELD_U8),
    FIELD_ARRAY(struct fdc, sense, FIELD_U8),
    FIELD(struct fdc, seeking, FIELD_U8),
    FIELD_ARRAY(struct fdc, pcn, FIELD_U8),
    FIELD_ARRAY(struct fdc, specify, FIELD_U8),
    FIELD(struct fdc, configure, FIELD_U8),
    FIELD(struct fdc, pretrack, FIELD_U8),
    FIELD(struct fdc, perpendicular, FIELD_U8),
    FIELD(struct fdc, lock, FIELD_BOOL),
    FIELD(struct fdc, unit, FIELD_U8),
    FIELD(struct fdc, cylinder, FIELD_U8),
    FIELD(struct fdc, head, FIELD_U8),
    FIELD(struct fdc, sector, FIELD_U8),
    FIELD(struct fdc, last, FIELD_U8),
    FIELD(struct fdc, size_code, FIELD_U8),
    FIELD(struct fdc, two_sides, FIELD_BOOL),
    FIELD(struct fdc, terminal, FIELD_BOOL),
    FIELD(struct fdc, by_dma, FIELD_BOOL),
    FIELD(struct fdc, to_host, FIELD_BOOL),
    FIELD(struct fdc, verify, FIELD_BOOL),
    FIELD(struct fdc, position, FIELD_U16),
    FIELD(struct fdc, left, FIELD_U8),
    FIELD(struct fdc, turn, FIELD_U8),
    FIELD_ARRAY(struct fdc, data, FIELD_U8),
    FIELD_END,
};

#define ROW(text, kind, member, value, list, what)                                            \
    {                                                                                         \
        .name = text, .type = kind, .offset = offsetof(struct fdc, member), .initial = value, \
        .words = list, .help = what                                                           \
    }

static const struct device_property properties[] = {
    ROW("iobase", PROPERTY_U32, base, 0x3f0, NULL, "first port"),
    ROW("irq", PROPERTY_U32, irq_number, 6, NULL, "ISA interrupt"),
    ROW("dma", PROPERTY_U32, channel, 2, NULL, "DMA channel"),
    ROW("driveA", PROPERTY_DRIVE, floppy[0].drive, 0, NULL, "id of a -drive"),
    ROW("driveB", PROPERTY_DRIVE, floppy[1].drive, 0, NULL, "id of a -drive"),
    ROW("fdtypeA", PROPERTY_WORD, floppy[0].wanted_type, TYPE_AUTO, fdc_type_words, "drive's type"),
    ROW("fdtypeB", PROPERTY_WORD, floppy[1].wanted_type, TYPE_AUTO, fdc_type_words, "drive's type"),
    ROW("fallback", PROPERTY_WORD, fallback, TYPE_288, fdc_type_words, "type of an empty drive"),
    ROW("bootindexA", PROPERTY_I32, floppy[0].bootindex, (uint64_t)-1, NULL, "boot order"),
    ROW("bootindexB", PROPERTY_I32, floppy[1].bootindex, (uint64_t)-1, NULL, "boot order"),
    {.name = NULL},
};

static const struct device_bus buses[] = {{"floppy-bus.0", "floppy-bus"}, {NULL, NULL}};

const struct device_class isa_fdc_class = {
    .name = "isa-fdc",
    .help = "virtual floppy controller",
    .bus = "ISA",
    .category = "Storage",
    .size = sizeof(struct fdc),
    .by_user = true,
    .properties = properties,
    .state = fields,
    .realize = realize,
    .reset = reset,
    .loaded = loaded,
    .free = free_fdc,
    .buses = buses,
};
DEVICE(isa_fdc_class)
