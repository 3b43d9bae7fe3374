/* SPDX-License-Identifier: MIT
 *
 * PS/2 keyboard and mouse (IBM, "PS/2 Hardware Interface Technical Reference", Keyboards and Mouse;
 * Microsoft, "IntelliMouse" and "IntelliMouse Explorer" packets). Bytes leave through a queue:
 * answers to commands first, then what was typed or moved. */
#include "device/ps2.h"

#include <string.h>

#include "trace-device.h"

enum {
    QUEUE_SIZE = 16,  /* scan codes, or packets */
    ANSWER_SIZE = 16, /* bytes that answer commands */
};

/* What both send and receive. */
enum {
    PS2_OVERRUN_SET_1 = 0xff,
    PS2_OVERRUN = 0x00,
    PS2_TEST_PASSED = 0xaa,
    PS2_ACKNOWLEDGE = 0xfa,
    PS2_RESEND_PLEASE = 0xfe,
    PS2_RESEND = 0xfe,
    PS2_RESET = 0xff,
};

struct ps2 {
    struct device device;
    struct irq ready;
    uint8_t queue[QUEUE_SIZE + 1]; /* the last place is for the overrun code */
    uint8_t first, count;
    bool overrun;
    uint8_t answer[ANSWER_SIZE];
    uint8_t answer_first, answer_count;
    uint8_t last;    /* the byte sent last */
    uint8_t command; /* waits for its parameter; 0: none */
};

static void show_ready(struct ps2 *ps2)
{
    irq_set(ps2->ready, ps2->count || ps2->answer_count);
}

void ps2_connect(struct device *device, struct irq ready)
{
    ((struct ps2 *)device)->ready = ready;
}

bool ps2_has_byte(const struct device *device)
{
    const struct ps2 *ps2 = (const struct ps2 *)device;

    return ps2->count || ps2->answer_count;
}

uint8_t ps2_read(struct device *device)
{
    struct ps2 *ps2 = (struct ps2 *)device;

    trace_ps2_read_data(ps2);
    if (ps2->answer_count) {
        ps2->last = ps2->answer[ps2->answer_first];
        ps2->answer_first = (ps2->answer_first + 1) % ANSWER_SIZE;
        ps2->answer_count--;
    } else if (ps2->count) {
        ps2->last = ps2->queue[ps2->first];
        ps2->first = (uint8_t)((ps2->first + 1) % (QUEUE_SIZE + 1));
        ps2->count--;
        ps2->overrun &= ps2->count > 0;
    }
    /* What is left is no news to who is reading. */
    if (!ps2_has_byte(device)) {
        irq_set(ps2->ready, false);
    }
    return ps2->last;
}

static void answer(struct ps2 *ps2, uint8_t byte)
{
    if (ps2->answer_count < ANSWER_SIZE) {
        ps2->answer[(ps2->answer_first + ps2->answer_count++) % ANSWER_SIZE] = byte;
    }
    show_ready(ps2);
}

static void put(struct ps2 *ps2, uint8_t byte)
{
    ps2->queue[(ps2->first + ps2->count++) % (QUEUE_SIZE + 1)] = byte;
}

static unsigned queue_room(const struct ps2 *ps2)
{
    return ps2->overrun || ps2->count > QUEUE_SIZE ? 0 : (unsigned)QUEUE_SIZE - ps2->count;
}

static void clear_queue(struct ps2 *ps2)
{
    ps2->first = ps2->count = 0;
    ps2->overrun = false;
    show_ready(ps2);
}

static void clear(struct ps2 *ps2)
{
    ps2->answer_first = ps2->answer_count = ps2->command = 0;
    clear_queue(ps2);
}

/* Whether values that were loaded can be: they are indexes. */
static bool check_queue(const struct ps2 *ps2, struct error *err)
{
    return (ps2->first <= QUEUE_SIZE && ps2->count <= QUEUE_SIZE + 1 &&
            ps2->answer_first < ANSWER_SIZE && ps2->answer_count <= ANSWER_SIZE) ||
           error_set(err, "%s: a queue is out of its bounds", ps2->device.class->name);
}

#define PS2_FIELDS(type)                                                                  \
    FIELD_ARRAY(type, ps2.queue, FIELD_U8), FIELD(type, ps2.first, FIELD_U8),             \
        FIELD(type, ps2.count, FIELD_U8), FIELD(type, ps2.overrun, FIELD_BOOL),           \
        FIELD_ARRAY(type, ps2.answer, FIELD_U8), FIELD(type, ps2.answer_first, FIELD_U8), \
        FIELD(type, ps2.answer_count, FIELD_U8), FIELD(type, ps2.last, FIELD_U8),         \
        FIELD(type, ps2.command, FIELD_U8)

static struct device *find(const struct board *board, const char *name)
{
    for (struct device *device = device_first(board); device; device = device->next) {
        if (!strcmp(device->class->name, name)) {
            return device;
        }
    }
    return NULL;
}

/* --- keyboard --- */

enum kbd_command {
    KBD_SET_LEDS = 0xed,
    KBD_ECHO = 0xee,
    KBD_SCAN_CODE_SET = 0xf0,
    KBD_IDENTIFY = 0xf2,
    KBD_SET_RATE = 0xf3,
    KBD_ENABLE = 0xf4,
    KBD_DISABLE = 0xf5, /* and defaults */
    KBD_DEFAULTS = 0xf6,
    KBD_ALL_TYPEMATIC = 0xf7, /* 0xf7 to 0xfd: of set 3 */
    KBD_ALL_MAKE_BREAK = 0xf8,
    KBD_ALL_MAKE = 0xf9,
    KBD_ALL_TYPEMATIC_MAKE_BREAK = 0xfa,
    KBD_KEY_TYPEMATIC = 0xfb,
    KBD_KEY_MAKE_BREAK = 0xfc,
    KBD_KEY_MAKE = 0xfd,
};

enum { KBD_ID_1 = 0xab, KBD_ID_2 = 0x83, KBD_BREAK = 0xf0, KBD_SETS = 3 };

/* What a key does in set 3: a break code when it goes up, repeating while it is down. */
enum { KEY_BREAKS = 1, KEY_REPEATS = 2 };

enum { MODIFIER_SHIFT = 1, MODIFIER_CTRL = 2, MODIFIER_ALT = 4 };

#define KBD_DEFAULT_RATE 0x2b /* 10.9 a second after 500 ms */

struct keyboard {
    struct ps2 ps2;
    bool scanning, translated;
    uint8_t set; /* 1 to 3 */
    uint8_t leds, rate;
    uint8_t key_type[256]; /* by code of set 3 */
    uint8_t down[(KEY_COUNT + 7) / 8];
    uint32_t repeating; /* the key that does; 0: none */
    struct timer repeat;
};

struct device *ps2_keyboard(const struct board *board)
{
    return find(board, "ps2-kbd");
}

unsigned ps2_keyboard_leds(const struct device *device)
{
    return ((const struct keyboard *)device)->leds;
}

void ps2_keyboard_set_translation(struct device *device, bool on)
{
    struct keyboard *keyboard = (struct keyboard *)device;

    trace_ps2_keyboard_set_translation(keyboard, on);
    keyboard->translated = on;
}

/* Types of set 3 as after power-on (IBM, Keyboards, "Scan Code Set 3"). */
static void default_types(struct keyboard *keyboard)
{
    static const uint8_t make_break[] = {0x11, 0x12, 0x14, 0x19, 0x59};
    static const uint8_t make[] = {0x07, 0x08, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x39, 0x3f, 0x47,
                                   0x4f, 0x56, 0x57, 0x58, 0x5e, 0x5f, 0x62, 0x65, 0x67, 0x69, 0x6b,
                                   0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76,
                                   0x77, 0x79, 0x7a, 0x7d, 0x7e, 0x84, 0x8b, 0x8c, 0x8d};

    memset(keyboard->key_type, KEY_REPEATS, sizeof keyboard->key_type);
    for (size_t i = 0; i < sizeof make_break; i++) {
        keyboard->key_type[make_break[i]] = KEY_BREAKS;
    }
    for (size_t i = 0; i < sizeof make; i++) {
        keyboard->key_type[make[i]] = 0;
    }
}

static void stop_repeating(struct keyboard *keyboard)
{
    keyboard->repeating = KEY_unmapped;
    timer_stop(&keyboard->repeat);
}

static void kbd_defaults(struct keyboard *keyboard)
{
    keyboard->set = 2;
    keyboard->rate = KBD_DEFAULT_RATE;
    default_types(keyboard);
    stop_repeating(keyboard);
    clear_queue(&keyboard->ps2);
}

/* Nanoseconds from a key's going down to its first repetition, and from that on: bits 6:5 are
 * quarters of a second less one; the period is (8 + A) * 2^B / 240 s, B in bits 4:3, A in 2:0. */
static uint64_t repeat_delay(const struct keyboard *keyboard)
{
    return ((keyboard->rate >> 5 & 3) + 1u) * (uint64_t)250000000;
}

static uint64_t repeat_period(const struct keyboard *keyboard)
{
    uint64_t steps = (8u + (keyboard->rate & 7)) << (keyboard->rate >> 3 & 3);

    return steps * 1000000000u / 240;
}

/* --- codes --- */

/* The bytes of a key's event, collected before they go into the queue all or none. */
struct codes {
    uint8_t byte[QUEUE_SIZE];
    unsigned count;
};

static void add_code(struct codes *codes, unsigned set, uint32_t code, bool down)
{
    for (int shift = 16; shift >= 0; shift -= 8) {
        uint8_t byte = (uint8_t)(code >> shift);
        if (!byte) {
            continue;
        }
        if (shift) {
            codes->byte[codes->count++] = byte;
        } else if (set == 1) {
            codes->byte[codes->count++] = (uint8_t)(byte | (down ? 0 : 0x80));
        } else {
            if (!down) {
                codes->byte[codes->count++] = KBD_BREAK;
            }
            codes->byte[codes->count++] = byte;
        }
    }
}

static bool is_down(const struct keyboard *keyboard, enum key key)
{
    return keyboard->down[key / 8] >> key % 8 & 1;
}

static unsigned modifiers(const struct keyboard *keyboard)
{
    bool shift = is_down(keyboard, KEY_shift) || is_down(keyboard, KEY_shift_r);
    bool ctrl = is_down(keyboard, KEY_ctrl) || is_down(keyboard, KEY_ctrl_r);
    bool alt = is_down(keyboard, KEY_alt) || is_down(keyboard, KEY_alt_r);

    return (shift ? (unsigned)MODIFIER_SHIFT : 0) | (ctrl ? (unsigned)MODIFIER_CTRL : 0) |
           (alt ? (unsigned)MODIFIER_ALT : 0);
}

/* Print screen is SysRq with Alt; alone it says that a shift key is down, which is not. */
static void add_print(const struct keyboard *keyboard, struct codes *codes, bool down)
{
    unsigned set = keyboard->set, with = modifiers(keyboard);
    uint32_t shift = set == 1 ? 0xe02a : 0xe012;

    if (with & MODIFIER_ALT) {
        add_code(codes, set, key_codes[KEY_sysrq].set[set - 1], down);
        return;
    }
    bool alone = !(with & (MODIFIER_SHIFT | MODIFIER_CTRL));
    if (alone && down) {
        add_code(codes, set, shift, true);
    }
    add_code(codes, set, key_codes[KEY_print].set[set - 1], down);
    if (alone && !down) {
        add_code(codes, set, shift, false);
    }
}

/* Pause sends make and break at once when it goes down, and nothing later; with Ctrl it is Break.
 */
static void add_pause(const struct keyboard *keyboard, struct codes *codes, bool down)
{
    static const uint8_t set_1[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
    static const uint8_t set_2[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};

    if (!down) {
        return;
    }
    if (modifiers(keyboard) & MODIFIER_CTRL) {
        uint32_t code = keyboard->set == 1 ? 0xe046 : 0xe07e;
        add_code(codes, keyboard->set, code, true);
        add_code(codes, keyboard->set, code, false);
        return;
    }
    codes->count = keyboard->set == 1 ? sizeof set_1 : sizeof set_2;
    memcpy(codes->byte, keyboard->set == 1 ? set_1 : set_2, codes->count);
}

static void add_set_3(const struct keyboard *keyboard, struct codes *codes, enum key key, bool down)
{
    uint32_t code = key_codes[key].set[2];

    if (down || keyboard->key_type[code & 0xff] & KEY_BREAKS) {
        add_code(codes, 3, code, down);
    }
}

static void send_key(struct keyboard *keyboard, enum key key, bool down)
{
    struct ps2 *ps2 = &keyboard->ps2;
    struct codes codes = {.count = 0};

    if (keyboard->set == 3) {
        add_set_3(keyboard, &codes, key, down);
    } else if (key == KEY_print) {
        add_print(keyboard, &codes, down);
    } else if (key == KEY_pause) {
        add_pause(keyboard, &codes, down);
    } else {
        add_code(&codes, keyboard->set, key_codes[key].set[keyboard->set - 1], down);
    }
    if (codes.count > queue_room(ps2)) {
        if (!ps2->overrun) {
            ps2->overrun = true;
            put(ps2, keyboard->set == 1 ? PS2_OVERRUN_SET_1 : PS2_OVERRUN);
        }
    } else {
        for (unsigned i = 0; i < codes.count; i++) {
            trace_ps2_put_keycode(ps2, codes.byte[i]);
            put(ps2, codes.byte[i]);
        }
    }
    show_ready(ps2);
}

static bool may_repeat(const struct keyboard *keyboard, enum key key)
{
    if (keyboard->set == 3) {
        return keyboard->key_type[key_codes[key].set[2] & 0xff] & KEY_REPEATS;
    }
    return key != KEY_pause;
}

static void repeat(void *opaque, uint64_t now)
{
    struct keyboard *keyboard = opaque;

    if (keyboard->scanning && keyboard->repeating) {
        /* A guest that does not read gets no overrun from a key that is only held. */
        if (queue_room(&keyboard->ps2) == QUEUE_SIZE) {
            send_key(keyboard, (enum key)keyboard->repeating, true);
        }
        timer_set(&keyboard->repeat, now + repeat_period(keyboard));
    }
}

void ps2_keyboard_key(struct device *device, enum key key, bool down)
{
    struct keyboard *keyboard = (struct keyboard *)device;

    if ((unsigned)key >= KEY_COUNT || key == KEY_unmapped || is_down(keyboard, key) == down) {
        return;
    }
    keyboard->down[key / 8] ^= (uint8_t)(1 << key % 8);
    trace_ps2_keyboard_event(keyboard, key, down, 0, modifiers(keyboard), keyboard->set,
                             keyboard->translated);
    if (!keyboard->scanning) {
        return;
    }
    send_key(keyboard, key, down);
    if (down && may_repeat(keyboard, key)) {
        keyboard->repeating = key;
        timer_set(&keyboard->repeat,
                  clock_now(keyboard->ps2.device.board->clock) + repeat_delay(keyboard));
    } else if (!down && keyboard->repeating == key) {
        stop_repeating(keyboard);
    }
}

/* --- commands of the keyboard --- */

static void set_types(struct keyboard *keyboard, uint8_t type)
{
    memset(keyboard->key_type, type, sizeof keyboard->key_type);
}

/* The byte behind a command that takes one; false: it is none of its values. */
static bool kbd_parameter(struct keyboard *keyboard, uint8_t command, uint8_t byte)
{
    static const uint8_t types[] = {KEY_REPEATS, KEY_BREAKS, 0};
    struct ps2 *ps2 = &keyboard->ps2;

    switch (command) {
    case KBD_SET_LEDS:
        keyboard->leds = byte & 7;
        trace_ps2_set_ledstate(keyboard, keyboard->leds);
        answer(ps2, PS2_ACKNOWLEDGE);
        return true;
    case KBD_SET_RATE:
        keyboard->rate = byte & 0x7f;
        answer(ps2, PS2_ACKNOWLEDGE);
        return true;
    case KBD_SCAN_CODE_SET:
        if (byte > KBD_SETS) {
            return false;
        }
        answer(ps2, PS2_ACKNOWLEDGE);
        if (byte) {
            keyboard->set = byte;
            clear_queue(ps2);
        } else {
            answer(ps2, keyboard->set);
        }
        return true;
    default: /* KBD_KEY_TYPEMATIC to KBD_KEY_MAKE: codes of keys, until a command comes */
        keyboard->key_type[byte] = types[command - KBD_KEY_TYPEMATIC];
        ps2->command = command;
        answer(ps2, PS2_ACKNOWLEDGE);
        return true;
    }
}

static void kbd_reset(struct keyboard *keyboard)
{
    trace_ps2_reset_keyboard(keyboard);
    clear(&keyboard->ps2);
    kbd_defaults(keyboard);
    keyboard->leds = 0;
    keyboard->scanning = true;
    trace_ps2_set_ledstate(keyboard, 0);
}

static void kbd_command(struct keyboard *keyboard, uint8_t byte)
{
    struct ps2 *ps2 = &keyboard->ps2;

    switch (byte) {
    case KBD_SET_LEDS:
    case KBD_SCAN_CODE_SET:
    case KBD_SET_RATE:
    case KBD_KEY_TYPEMATIC:
    case KBD_KEY_MAKE_BREAK:
    case KBD_KEY_MAKE: ps2->command = byte; break;
    case KBD_ECHO: answer(ps2, KBD_ECHO); return;
    case KBD_IDENTIFY:
        answer(ps2, PS2_ACKNOWLEDGE);
        answer(ps2, KBD_ID_1);
        answer(ps2, KBD_ID_2);
        return;
    case KBD_ENABLE:
        clear_queue(ps2);
        keyboard->scanning = true;
        break;
    case KBD_DISABLE:
        kbd_defaults(keyboard);
        keyboard->scanning = false;
        break;
    case KBD_DEFAULTS: kbd_defaults(keyboard); break;
    case KBD_ALL_TYPEMATIC: set_types(keyboard, KEY_REPEATS); break;
    case KBD_ALL_MAKE_BREAK: set_types(keyboard, KEY_BREAKS); break;
    case KBD_ALL_MAKE: set_types(keyboard, 0); break;
    case KBD_ALL_TYPEMATIC_MAKE_BREAK: set_types(keyboard, KEY_REPEATS | KEY_BREAKS); break;
    case PS2_RESEND: answer(ps2, ps2->last); return;
    case PS2_RESET:
        kbd_reset(keyboard);
        answer(ps2, PS2_ACKNOWLEDGE);
        answer(ps2, PS2_TEST_PASSED);
        return;
    default: answer(ps2, PS2_RESEND_PLEASE); return;
    }
    answer(ps2, PS2_ACKNOWLEDGE);
}

void ps2_keyboard_write(struct device *device, uint8_t byte)
{
    struct keyboard *keyboard = (struct keyboard *)device;
    struct ps2 *ps2 = &keyboard->ps2;
    uint8_t command = ps2->command;

    trace_ps2_write_keyboard(keyboard, byte);
    ps2->command = 0;
    /* What was being sent is not any more; a byte above 0xec is a command in any case. */
    ps2->answer_count = 0;
    if (!command || byte >= KBD_SET_LEDS || !kbd_parameter(keyboard, command, byte)) {
        kbd_command(keyboard, byte);
    }
}

/* --- the keyboard as a device --- */

static bool kbd_realize(struct device *device, struct error *err)
{
    struct keyboard *keyboard = (struct keyboard *)device;

    (void)err;
    timer_init(&keyboard->repeat, device->board->clock, repeat, keyboard);
    return true;
}

static void kbd_device_reset(struct device *device)
{
    struct keyboard *keyboard = (struct keyboard *)device;

    trace_ps2_kbd_reset(keyboard);
    kbd_reset(keyboard);
    keyboard->ps2.last = 0;
    keyboard->translated = false;
}

static bool kbd_loaded(struct device *device, struct error *err)
{
    struct keyboard *keyboard = (struct keyboard *)device;

    return check_queue(&keyboard->ps2, err) &&
           ((keyboard->set >= 1 && keyboard->set <= KBD_SETS && keyboard->repeating < KEY_COUNT) ||
            error_set(err, "ps2-kbd: there is no such scan code set or key"));
}

static void kbd_free(struct device *device)
{
    struct keyboard *keyboard = (struct keyboard *)device;

    if (keyboard->repeat.clock) {
        timer_stop(&keyboard->repeat);
    }
}

static const struct device_field kbd_state[] = {
    PS2_FIELDS(struct keyboard),
    FIELD(struct keyboard, scanning, FIELD_BOOL),
    FIELD(struct keyboard, translated, FIELD_BOOL),
    FIELD(struct keyboard, set, FIELD_U8),
    FIELD(struct keyboard, leds, FIELD_U8),
    FIELD(struct keyboard, rate, FIELD_U8),
    FIELD_ARRAY(struct keyboard, key_type, FIELD_U8),
    FIELD_ARRAY(struct keyboard, down, FIELD_U8),
    FIELD(struct keyboard, repeating, FIELD_U32),
    FIELD(struct keyboard, repeat, FIELD_TIMER),
    FIELD_END,
};

static const struct device_class kbd_class = {
    .name = "ps2-kbd",
    .help = "PS/2 keyboard",
    .bus = "PS2",
    .category = "Input",
    .size = sizeof(struct keyboard),
    .state = kbd_state,
    .realize = kbd_realize,
    .reset = kbd_device_reset,
    .loaded = kbd_loaded,
    .free = kbd_free,
};
DEVICE(kbd_class)

/* --- mouse --- */

enum mouse_command {
    MOUSE_SCALE_1 = 0xe6,
    MOUSE_SCALE_2 = 0xe7,
    MOUSE_SET_RESOLUTION = 0xe8,
    MOUSE_STATUS = 0xe9,
    MOUSE_STREAM = 0xea,
    MOUSE_POLL = 0xeb,
    MOUSE_WRAP_END = 0xec,
    MOUSE_WRAP = 0xee,
    MOUSE_REMOTE = 0xf0,
    MOUSE_IDENTIFY = 0xf2,
    MOUSE_SET_RATE = 0xf3,
    MOUSE_ENABLE = 0xf4,
    MOUSE_DISABLE = 0xf5,
    MOUSE_DEFAULTS = 0xf6,
};

enum mouse_type { MOUSE_PS2 = 0, MOUSE_WHEEL = 3, MOUSE_EXPLORER = 4 };

enum mouse_status {
    MOUSE_STATUS_SCALE_2 = 0x10,
    MOUSE_STATUS_ENABLED = 0x20,
    MOUSE_STATUS_REMOTE = 0x40,
};

enum {
    MOUSE_DELTA_MAX = 255, /* of a packet */
    MOUSE_WHEEL_MAX = 7,
    MOUSE_MOVED_MAX = 1 << 16, /* of what is kept */
};

struct mouse {
    struct ps2 ps2;
    bool enabled, remote, wrap, scale_2;
    uint8_t resolution, rate, type;
    uint8_t rates[3];         /* set last, the newest last: how drivers knock */
    uint8_t buttons, told;    /* as they are, as the guest knows them */
    int32_t right, up, wheel; /* since the last packet */
    uint64_t next;            /* when the next packet may be sent */
    struct timer sample;
};

struct device *ps2_mouse(const struct board *board)
{
    return find(board, "ps2-mouse");
}

static void mouse_forget(struct mouse *mouse)
{
    mouse->right = mouse->up = mouse->wheel = 0;
    timer_stop(&mouse->sample);
}

static void mouse_defaults(struct mouse *mouse)
{
    mouse->enabled = mouse->remote = mouse->scale_2 = false;
    mouse->resolution = 2; /* 4 counts a millimetre */
    mouse->rate = 100;
    mouse_forget(mouse);
}

static int32_t clamp(int32_t value, int32_t most)
{
    return value > most ? most : value < -most - 1 ? -most - 1 : value;
}

/* Scaling 2:1, of stream mode only (IBM, Mouse, "Set Scaling 2:1"). */
static int32_t scaled(int32_t counts)
{
    static const uint8_t small[] = {0, 1, 1, 3, 6, 9};
    int32_t size = counts < 0 ? -counts : counts;
    int32_t result = size < (int32_t)sizeof small ? small[size] : 2 * size;

    return counts < 0 ? -result : result;
}

static unsigned packet_size(const struct mouse *mouse)
{
    return mouse->type == MOUSE_PS2 ? 3 : 4;
}

/* Makes a packet of what happened, as far as one can tell it. */
static void make_packet(struct mouse *mouse, bool scale, uint8_t *packet)
{
    int32_t right = clamp(mouse->right, MOUSE_DELTA_MAX), up = clamp(mouse->up, MOUSE_DELTA_MAX);
    int32_t wheel = clamp(mouse->wheel, MOUSE_WHEEL_MAX);

    mouse->right -= right;
    mouse->up -= up;
    mouse->wheel = mouse->type == MOUSE_PS2 ? 0 : mouse->wheel - wheel;
    mouse->told = mouse->buttons;
    trace_ps2_mouse_send_packet(mouse, right, up, wheel, mouse->buttons);
    if (scale && mouse->scale_2) {
        right = clamp(scaled(right), MOUSE_DELTA_MAX);
        up = clamp(scaled(up), MOUSE_DELTA_MAX);
    }
    packet[0] = (uint8_t)(8 | (mouse->buttons & 7) | (right < 0 ? 0x10 : 0) | (up < 0 ? 0x20 : 0));
    packet[1] = (uint8_t)right;
    packet[2] = (uint8_t)up;
    packet[3] = (uint8_t)wheel;
    if (mouse->type == MOUSE_EXPLORER) {
        packet[3] = (uint8_t)((wheel & 0xf) | (mouse->buttons >> 3 & 3) << 4);
    }
}

static bool something_new(const struct mouse *mouse)
{
    unsigned known = mouse->type == MOUSE_EXPLORER ? 0x1f : 7;

    return mouse->right || mouse->up || (mouse->wheel && mouse->type != MOUSE_PS2) ||
           ((mouse->buttons ^ mouse->told) & known);
}

/* Stream mode: packets while there is something to tell, no more a second than the rate says. */
static void stream(struct mouse *mouse)
{
    struct ps2 *ps2 = &mouse->ps2;
    uint64_t now = clock_now(ps2->device.board->clock);
    uint8_t packet[4];

    if (!mouse->enabled || mouse->remote || mouse->wrap || !something_new(mouse)) {
        return;
    }
    if (now >= mouse->next && queue_room(ps2) >= packet_size(mouse)) {
        make_packet(mouse, true, packet);
        for (unsigned i = 0; i < packet_size(mouse); i++) {
            put(ps2, packet[i]);
        }
        mouse->next = now + 1000000000u / (mouse->rate ? mouse->rate : 1u);
        show_ready(ps2);
    }
    if (something_new(mouse)) {
        timer_set(&mouse->sample, mouse->next > now ? mouse->next : now + 10000000);
    }
}

static void sample(void *opaque, uint64_t now)
{
    (void)now;
    stream(opaque);
}

void ps2_mouse_move(struct device *device, int right, int down, int wheel)
{
    struct mouse *mouse = (struct mouse *)device;

    if (mouse->enabled) {
        mouse->right = clamp(mouse->right + clamp(right, MOUSE_MOVED_MAX), MOUSE_MOVED_MAX);
        mouse->up = clamp(mouse->up - clamp(down, MOUSE_MOVED_MAX), MOUSE_MOVED_MAX);
        mouse->wheel = clamp(mouse->wheel + clamp(wheel, MOUSE_MOVED_MAX), MOUSE_MOVED_MAX);
    }
}

void ps2_mouse_button(struct device *device, enum ps2_button button, bool down)
{
    struct mouse *mouse = (struct mouse *)device;

    mouse->buttons = (uint8_t)(down ? mouse->buttons | button : mouse->buttons & ~(unsigned)button);
}

void ps2_mouse_sync(struct device *device)
{
    stream((struct mouse *)device);
}

/* --- commands of the mouse --- */

static void mouse_reset(struct mouse *mouse)
{
    clear(&mouse->ps2);
    mouse_defaults(mouse);
    mouse->type = MOUSE_PS2;
    mouse->wrap = false;
    mouse->next = 0;
    memset(mouse->rates, 0, sizeof mouse->rates);
}

/* Drivers ask for the better mouse by three rates in a row. */
static void set_rate(struct mouse *mouse, uint8_t rate)
{
    mouse->rate = rate;
    memmove(mouse->rates, mouse->rates + 1, 2);
    mouse->rates[2] = rate;
    if (mouse->rates[0] == 200 && mouse->rates[2] == 80) {
        if (mouse->rates[1] == 100) {
            mouse->type = MOUSE_WHEEL;
        } else if (mouse->rates[1] == 200) {
            mouse->type = MOUSE_EXPLORER;
        }
    }
}

static void tell_status(struct mouse *mouse)
{
    struct ps2 *ps2 = &mouse->ps2;
    unsigned left = mouse->buttons & PS2_BUTTON_LEFT ? 4 : 0;
    unsigned middle = mouse->buttons & PS2_BUTTON_MIDDLE ? 2 : 0;
    unsigned right = mouse->buttons & PS2_BUTTON_RIGHT ? 1 : 0;

    answer(ps2, PS2_ACKNOWLEDGE);
    answer(ps2,
           (uint8_t)(left | middle | right | (mouse->scale_2 ? (unsigned)MOUSE_STATUS_SCALE_2 : 0) |
                     (mouse->enabled ? (unsigned)MOUSE_STATUS_ENABLED : 0) |
                     (mouse->remote ? (unsigned)MOUSE_STATUS_REMOTE : 0)));
    answer(ps2, mouse->resolution);
    answer(ps2, mouse->rate);
}

static void poll_mouse(struct mouse *mouse)
{
    uint8_t packet[4];

    answer(&mouse->ps2, PS2_ACKNOWLEDGE);
    make_packet(mouse, false, packet);
    for (unsigned i = 0; i < packet_size(mouse); i++) {
        answer(&mouse->ps2, packet[i]);
    }
}

static void mouse_command(struct mouse *mouse, uint8_t byte)
{
    struct ps2 *ps2 = &mouse->ps2;

    switch (byte) {
    case MOUSE_SCALE_1: mouse->scale_2 = false; break;
    case MOUSE_SCALE_2: mouse->scale_2 = true; break;
    case MOUSE_SET_RESOLUTION:
    case MOUSE_SET_RATE: ps2->command = byte; break;
    case MOUSE_STATUS: tell_status(mouse); return;
    case MOUSE_STREAM: mouse->remote = false; break;
    case MOUSE_POLL: poll_mouse(mouse); return;
    case MOUSE_WRAP_END: break;
    case MOUSE_WRAP: mouse->wrap = true; break;
    case MOUSE_REMOTE:
        mouse->remote = true;
        clear_queue(ps2);
        break;
    case MOUSE_IDENTIFY:
        answer(ps2, PS2_ACKNOWLEDGE);
        answer(ps2, mouse->type);
        return;
    case MOUSE_ENABLE: mouse->enabled = true; break;
    case MOUSE_DISABLE:
        mouse->enabled = false;
        mouse_forget(mouse);
        break;
    case MOUSE_DEFAULTS: mouse_defaults(mouse); break;
    case PS2_RESEND: answer(ps2, ps2->last); return;
    case PS2_RESET:
        mouse_reset(mouse);
        answer(ps2, PS2_ACKNOWLEDGE);
        answer(ps2, PS2_TEST_PASSED);
        answer(ps2, mouse->type);
        return;
    default: answer(ps2, PS2_RESEND_PLEASE); return;
    }
    answer(ps2, PS2_ACKNOWLEDGE);
}

void ps2_mouse_write(struct device *device, uint8_t byte)
{
    struct mouse *mouse = (struct mouse *)device;
    struct ps2 *ps2 = &mouse->ps2;
    uint8_t command = ps2->command;

    trace_ps2_write_mouse(mouse, byte);
    ps2->command = 0;
    ps2->answer_count = 0;
    if (mouse->wrap && byte != MOUSE_WRAP_END && byte != PS2_RESET) {
        answer(ps2, byte);
        return;
    }
    mouse->wrap = false;
    if (command == MOUSE_SET_RATE && byte) {
        set_rate(mouse, byte);
        answer(ps2, PS2_ACKNOWLEDGE);
    } else if (command == MOUSE_SET_RESOLUTION && byte <= 3) {
        mouse->resolution = byte;
        answer(ps2, PS2_ACKNOWLEDGE);
    } else if (command) {
        answer(ps2, PS2_RESEND_PLEASE);
    } else {
        mouse_command(mouse, byte);
    }
}

/* --- the mouse as a device --- */

static bool mouse_realize(struct device *device, struct error *err)
{
    struct mouse *mouse = (struct mouse *)device;

    (void)err;
    timer_init(&mouse->sample, device->board->clock, sample, mouse);
    return true;
}

static void mouse_device_reset(struct device *device)
{
    struct mouse *mouse = (struct mouse *)device;

    trace_ps2_mouse_reset(mouse);
    mouse_reset(mouse);
    mouse->ps2.last = 0;
    mouse->told = 0;
}

static bool mouse_loaded(struct device *device, struct error *err)
{
    struct mouse *mouse = (struct mouse *)device;
    int32_t most = MOUSE_MOVED_MAX + 1;

    return check_queue(&mouse->ps2, err) &&
           ((mouse->right >= -most && mouse->right <= most && mouse->up >= -most &&
             mouse->up <= most && mouse->wheel >= -most && mouse->wheel <= most) ||
            error_set(err, "ps2-mouse: it has moved too far"));
}

static void mouse_free(struct device *device)
{
    struct mouse *mouse = (struct mouse *)device;

    if (mouse->sample.clock) {
        timer_stop(&mouse->sample);
    }
}

static const struct device_field mouse_state[] = {
    PS2_FIELDS(struct mouse),
    FIELD(struct mouse, enabled, FIELD_BOOL),
    FIELD(struct mouse, remote, FIELD_BOOL),
    FIELD(struct mouse, wrap, FIELD_BOOL),
    FIELD(struct mouse, scale_2, FIELD_BOOL),
    FIELD(struct mouse, resolution, FIELD_U8),
    FIELD(struct mouse, rate, FIELD_U8),
    FIELD(struct mouse, type, FIELD_U8),
    FIELD_ARRAY(struct mouse, rates, FIELD_U8),
    FIELD(struct mouse, buttons, FIELD_U8),
    FIELD(struct mouse, told, FIELD_U8),
    FIELD(struct mouse, right, FIELD_I32),
    FIELD(struct mouse, up, FIELD_I32),
    FIELD(struct mouse, wheel, FIELD_I32),
    FIELD(struct mouse, next, FIELD_U64),
    FIELD(struct mouse, sample, FIELD_TIMER),
    FIELD_END,
};

static const struct device_class mouse_class = {
    .name = "ps2-mouse",
    .help = "PS/2 mouse",
    .bus = "PS2",
    .category = "Input",
    .size = sizeof(struct mouse),
    .state = mouse_state,
    .realize = mouse_realize,
    .reset = mouse_device_reset,
    .loaded = mouse_loaded,
    .free = mouse_free,
};
DEVICE(mouse_class)
