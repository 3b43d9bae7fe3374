/* SPDX-License-Identifier: MIT
 *
 * PS/2 keyboard and mouse, as their controller (i8042.c) and the input layer see them.
 */
#ifndef DEVICE_PS2_H
#define DEVICE_PS2_H

#include "device/device.h"
#include "display/keys.h"

/* --- the input layer's --- */

/* The first keyboard or mouse of the board; NULL: none. */
struct device *ps2_keyboard(const struct board *board);
struct device *ps2_mouse(const struct board *board);

/* A key goes down or up. Going down while it is down is nothing: the keyboard repeats by itself. */
void ps2_keyboard_key(struct device *keyboard, enum key key, bool down);

/* What the guest sets: */
enum ps2_led { PS2_LED_SCROLL = 1, PS2_LED_NUM = 2, PS2_LED_CAPS = 4 };
unsigned ps2_keyboard_leds(const struct device *keyboard);

enum ps2_button {
    PS2_BUTTON_LEFT = 1,
    PS2_BUTTON_RIGHT = 2,
    PS2_BUTTON_MIDDLE = 4,
    PS2_BUTTON_SIDE = 8,
    PS2_BUTTON_EXTRA = 16,
};

/* It moves: right, down, and the wheel towards the user are positive. Told to the guest by
 * ps2_mouse_sync(), as are the buttons. */
void ps2_mouse_move(struct device *mouse, int right, int down, int wheel);
void ps2_mouse_button(struct device *mouse, enum ps2_button button, bool down);
void ps2_mouse_sync(struct device *mouse);

/* --- the controller's --- */

/* `ready` is the line that goes up while ps2_read() has something to give. */
void ps2_connect(struct device *device, struct irq ready);
bool ps2_has_byte(const struct device *device);
/* The next byte; again the last one if there is none. */
uint8_t ps2_read(struct device *device);
void ps2_keyboard_write(struct device *keyboard, uint8_t byte);
void ps2_mouse_write(struct device *mouse, uint8_t byte);
/* The controller translates from set 2 to set 1: for those who look on. */
void ps2_keyboard_set_translation(struct device *keyboard, bool on);

#endif
