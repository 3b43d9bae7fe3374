/* SPDX-License-Identifier: MIT
 *
 * A switch interpreter: a register machine whose program counts, multiplies, sorts and hashes. */
#include <stdint.h>
#include <stdio.h>

enum op { SET, ADD, SUB, MUL, XOR, SHR, LOAD, STORE, LESS, JUMP_IF, JUMP, MOVE, END };

struct insn {
    uint8_t op, a, b, c;
    int32_t value;
};

static uint32_t memory[1024];

static uint64_t run(const struct insn *code, uint32_t *r)
{
    uint64_t executed = 0;
    for (const struct insn *pc = code;; pc++) {
        executed++;
        switch (pc->op) {
        case SET: r[pc->a] = (uint32_t)pc->value; break;
        case ADD: r[pc->a] = r[pc->b] + r[pc->c]; break;
        case SUB: r[pc->a] = r[pc->b] - r[pc->c]; break;
        case MUL: r[pc->a] = r[pc->b] * r[pc->c]; break;
        case XOR: r[pc->a] = r[pc->b] ^ r[pc->c]; break;
        case SHR: r[pc->a] = r[pc->b] >> pc->value; break;
        case LOAD: r[pc->a] = memory[r[pc->b] & 1023]; break;
        case STORE: memory[r[pc->b] & 1023] = r[pc->a]; break;
        case LESS: r[pc->a] = r[pc->b] < r[pc->c]; break;
        case JUMP_IF: pc += r[pc->a] ? pc->value : 0; break;
        case JUMP: pc += pc->value; break;
        case MOVE: r[pc->a] = r[pc->b]; break;
        default: return executed;
        }
    }
}

int main(void)
{
    /* r0: turns left, r1: 1, r2: random, r3: index, r4, r5: elements, r6: condition, r7: hash */
    static const struct insn code[] = {
        {SET, 0, 0, 0, 40000},
        {SET, 1, 0, 0, 1},
        {SET, 2, 0, 0, 12345},
        {SET, 7, 0, 0, 0},
        {SET, 8, 0, 0, 1664525},
        {SET, 10, 0, 0, 1000},
        /* each turn: one pass of a bubble over some of the memory, after a new element */
        {MUL, 2, 2, 8, 0},
        {ADD, 2, 2, 1, 0},
        {SHR, 3, 2, 0, 22},
        {STORE, 2, 3, 0, 0},
        {SET, 3, 0, 0, 900},
        {LOAD, 4, 3, 0, 0},
        {ADD, 9, 3, 1, 0},
        {LOAD, 5, 9, 0, 0},
        {LESS, 6, 5, 4, 0},
        {XOR, 7, 7, 4, 0},
        {JUMP_IF, 6, 0, 0, 1},
        {JUMP, 0, 0, 0, 2},
        {STORE, 5, 3, 0, 0},
        {STORE, 4, 9, 0, 0},
        {MOVE, 3, 9, 0, 0},
        {LESS, 6, 3, 10, 0},
        {JUMP_IF, 6, 0, 0, -12},
        {SUB, 0, 0, 1, 0},
        {JUMP_IF, 0, 0, 0, -19},
        {END, 0, 0, 0, 0},
    };
    uint32_t r[16] = {0};
    uint64_t executed = 0;
    for (int i = 0; i < 22; i++) {
        executed += run(code, r);
    }
    printf("%llu %u\n", (unsigned long long)executed, r[7]);
    return 0;
}
