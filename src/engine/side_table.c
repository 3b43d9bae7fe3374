/* SPDX-License-Identifier: MIT
 *
 * Side tables: from an offset in a block's code to the guest instruction and to what must be
 * recovered there. They are written once and hardly ever read, so they are packed, one byte for
 * most points, and read from the front:
 *
 *     lengths   a byte for each guest instruction
 *     points    0 to PLAIN_MAX   so many bytes of code further the next instruction begins, and the
 *                                state is whole
 *               FULL, ir_point   any other
 *               END
 */
#include <string.h>

#include "engine/internal.h"

enum { PLAIN_MAX = 0xfd, FULL = 0xfe, END = 0xff };

/* The point that most often follows. */
static struct ir_point next_plain(const struct ir_point *point)
{
    struct ir_point next = *point;

    next.insn++;
    next.flags = IR_POINT_BOUNDARY;
    next.saved = 0;
    next.begun = next.records;
    return next;
}

static bool is_plain(const struct ir_point *point, const struct ir_point *before)
{
    struct ir_point plain = next_plain(before);

    return point->host - before->host <= PLAIN_MAX && point->insn == plain.insn &&
           point->flags == plain.flags && point->saved == 0 && point->records == plain.records &&
           point->begun == plain.begun && point->words == plain.words;
}

/* In front of the first: its successor is the first instruction. */
static struct ir_point front(uint32_t start)
{
    return (struct ir_point){.host = start, .insn = UINT8_MAX};
}

size_t side_table_pack(uint8_t *to, const struct ir_point *point, unsigned points, uint32_t start,
                       const uint8_t *length, unsigned insns)
{
    struct ir_point before = front(start);
    uint8_t *at = to + insns;

    memcpy(to, length, insns);
    for (unsigned i = 0; i < points; before = point[i], i++) {
        if (is_plain(&point[i], &before)) {
            *at++ = (uint8_t)(point[i].host - before.host);
            continue;
        }
        *at++ = FULL;
        memcpy(at, &point[i], sizeof(point[i]));
        at += sizeof(point[i]);
    }
    *at++ = END;
    return (size_t)(at - to);
}

void side_begin(const struct engine *engine, const struct block *block, struct side_cursor *cursor)
{
    cursor->at = engine->arena + block->table + block->insns;
    cursor->point = front(block->start - block->base);
}

bool side_next(struct side_cursor *cursor)
{
    uint8_t what = *cursor->at;

    if (what == END)
        return false;
    cursor->at++;
    if (what == FULL) {
        memcpy(&cursor->point, cursor->at, sizeof(cursor->point));
        cursor->at += sizeof(cursor->point);
    } else {
        cursor->point = next_plain(&cursor->point);
        cursor->point.host += what;
    }
    return true;
}

uint64_t side_pc(const struct engine *engine, const struct block *block, unsigned insn)
{
    const uint8_t *length = engine->arena + block->table;
    uint64_t pc = block->pc;

    for (unsigned i = 0; i < insn; i++)
        pc += length[i];
    return pc;
}
