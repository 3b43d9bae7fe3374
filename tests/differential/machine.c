/* SPDX-License-Identifier: MIT
 *
 * One form for XSAVE images (SDM vol. 1, 13.4.1 to 13.4.3, and 13.6 for the initial values). */
#include <string.h>

#include "machine.h"

enum { X87 = 1, SSE = 2, AVX = 4 };

void machine_normalize(uint8_t vector[MACHINE_VECTOR_BYTES])
{
    uint64_t present;

    memcpy(&present, vector + MACHINE_XSTATE_BV, sizeof present);
    if (!(present & X87)) {
        memset(vector, 0, MACHINE_MXCSR);
        vector[MACHINE_FCW] = 0x7f;
        vector[MACHINE_FCW + 1] = 0x03;
        memset(vector + MACHINE_ST, 0, 128);
    }
    if (!(present & SSE))
        memset(vector + MACHINE_XMM, 0, 256);
    if (!(present & AVX))
        memset(vector + MACHINE_YMM, 0, 256);
    vector[MACHINE_FTW + 1] = 0;
    memset(vector + MACHINE_MXCSR_MASK, 0, 4);
    for (int i = 0; i < 8; i++)
        memset(vector + MACHINE_ST + 16 * i + 10, 0, 6);
    memset(vector + MACHINE_UNUSED, 0, MACHINE_YMM - MACHINE_UNUSED);
    vector[MACHINE_XSTATE_BV] = MACHINE_XCR0;
}
