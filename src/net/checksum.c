/* SPDX-License-Identifier: MIT
 *
 * The checksum of the Internet's protocols (RFC 1071), and the frame check sequence: CRC-32 of IEEE
 * 802.3, 3.2.9, four bytes at a time. */
#include <string.h>

#include "net/net.h"

enum { POLYNOMIAL = 0xedb88320 }; /* the lowest bit is the highest power */

uint16_t net_sum(const void *bytes, size_t size, uint16_t start)
{
    const uint8_t *at = bytes;
    uint64_t sum = 0;

    /* The sum does not mind in which order the bytes of its words are, as long as it is one. */
    for (; size >= 4; size -= 4, at += 4) {
        uint32_t word;
        memcpy(&word, at, 4);
        sum += word;
    }
    for (unsigned i = 0; i < size; i++) {
        sum += (uint64_t)at[i] << 8 * i;
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum = (sum >> 8 | (sum & 0xff) << 8) + start;
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

void net_crc_init(struct net_crc *crc)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (unsigned bit = 0; bit < 8; bit++) {
            value = value >> 1 ^ (value & 1 ? (uint32_t)POLYNOMIAL : 0);
        }
        crc->row[0][i] = value;
    }
    for (unsigned row = 1; row < 4; row++) {
        for (unsigned i = 0; i < 256; i++) {
            uint32_t below = crc->row[row - 1][i];
            crc->row[row][i] = below >> 8 ^ crc->row[0][below & 0xff];
        }
    }
}

uint32_t net_crc(const struct net_crc *crc, const void *frame, size_t size)
{
    const uint8_t *at = frame;
    uint32_t value = UINT32_MAX;

    for (; size >= 4; size -= 4, at += 4) {
        uint32_t word;
        memcpy(&word, at, 4);
        value ^= word;
        value = crc->row[3][value & 0xff] ^ crc->row[2][value >> 8 & 0xff] ^
                crc->row[1][value >> 16 & 0xff] ^ crc->row[0][value >> 24];
    }
    for (; size; size--, at++) {
        value = value >> 8 ^ crc->row[0][(value ^ *at) & 0xff];
    }
    return ~value;
}
