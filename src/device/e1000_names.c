/* SPDX-License-Identifier: MIT
 *
 * Names of the 82540EM's registers and of their fields, for those who print them. */
#include "device/e1000.h"

static const struct mem_field control_fields[] = {
    {"FD", 0, 1},    {"LRST", 3, 1},   {"ASDE", 5, 1},     {"SLU", 6, 1},
    {"ILOS", 7, 1},  {"SPEED", 8, 2},  {"FRCSPD", 11, 1},  {"FRCDPLX", 12, 1},
    {"SDP", 18, 2},  {"SDPIO", 22, 2}, {"RST", 26, 1},     {"RFCE", 27, 1},
    {"TFCE", 28, 1}, {"VME", 30, 1},   {"PHY_RST", 31, 1}, {NULL, 0, 0},
};
static const struct mem_field status_fields[] = {
    {"FD", 0, 1},   {"LU", 1, 1},     {"TXOFF", 4, 1},  {"SPEED", 6, 2},
    {"ASDV", 8, 2}, {"PCI66", 11, 1}, {"BUS64", 12, 1}, {NULL, 0, 0},
};
static const struct mem_field eecd_fields[] = {
    {"SK", 0, 1},  {"CS", 1, 1},  {"DI", 2, 1},   {"DO", 3, 1},   {"FWE", 4, 2},
    {"REQ", 6, 1}, {"GNT", 7, 1}, {"PRES", 8, 1}, {"SIZE", 9, 1}, {NULL, 0, 0},
};
static const struct mem_field eerd_fields[] = {
    {"START", 0, 1}, {"DONE", 4, 1}, {"ADDR", 8, 8}, {"DATA", 16, 16}, {NULL, 0, 0}};
static const struct mem_field control_ext_fields[] = {
    {"ASDCHK", 12, 1}, {"EE_RST", 13, 1}, {"SPD_BYPS", 15, 1}, {NULL, 0, 0}};
static const struct mem_field mdic_fields[] = {
    {"DATA", 0, 16}, {"REGADD", 16, 5}, {"PHYADD", 21, 5}, {"OP", 26, 2},
    {"R", 28, 1},    {"I", 29, 1},      {"E", 30, 1},      {NULL, 0, 0},
};
static const struct mem_field cause_fields[] = {
    {"TXDW", 0, 1}, {"TXQE", 1, 1},     {"LSC", 2, 1},   {"RXSEQ", 3, 1},  {"RXDMT0", 4, 1},
    {"RXO", 6, 1},  {"RXT0", 7, 1},     {"MDAC", 9, 1},  {"RXCFG", 10, 1}, {"PHYINT", 12, 1},
    {"GPI", 13, 2}, {"TXD_LOW", 15, 1}, {"SRPD", 16, 1}, {NULL, 0, 0},
};
static const struct mem_field rctl_fields[] = {
    {"EN", 1, 1},    {"SBP", 2, 1},    {"UPE", 3, 1},  {"MPE", 4, 1},  {"LPE", 5, 1},
    {"LBM", 6, 2},   {"RDMTS", 8, 2},  {"MO", 12, 2},  {"BAM", 15, 1}, {"BSIZE", 16, 2},
    {"VFE", 18, 1},  {"CFIEN", 19, 1}, {"CFI", 20, 1}, {"DPF", 22, 1}, {"PMCF", 23, 1},
    {"BSEX", 25, 1}, {"SECRC", 26, 1}, {NULL, 0, 0},
};
static const struct mem_field tctl_fields[] = {
    {"EN", 1, 1},      {"PSP", 3, 1},   {"CT", 4, 8},    {"COLD", 12, 10},
    {"SWXOFF", 22, 1}, {"RTLC", 24, 1}, {"NRTU", 25, 1}, {NULL, 0, 0},
};
static const struct mem_field rdtr_fields[] = {{"DELAY", 0, 16}, {"FPD", 31, 1}, {NULL, 0, 0}};
static const struct mem_field dctl_fields[] = {
    {"PTHRESH", 0, 6}, {"HTHRESH", 8, 6},   {"WTHRESH", 16, 6},
    {"GRAN", 24, 1},   {"LWTHRESH", 25, 7}, {NULL, 0, 0},
};
static const struct mem_field rxcsum_fields[] = {
    {"PCSS", 0, 8}, {"IPOFL", 8, 1}, {"TUOFL", 9, 1}, {"IPV6OFL", 10, 1}, {NULL, 0, 0}};
static const struct mem_field pba_fields[] = {{"RXA", 0, 7}, {"TXA", 16, 7}, {NULL, 0, 0}};
static const struct mem_field tipg_fields[] = {
    {"IPGT", 0, 10}, {"IPGR1", 10, 10}, {"IPGR2", 20, 10}, {NULL, 0, 0}};

/* Rows of registers that are many: TEN(row, 3) is row(30) to row(39). */
// clang-format off
#define TEN(row, digits)                                                        \
    row(digits##0) row(digits##1) row(digits##2) row(digits##3) row(digits##4)  \
    row(digits##5) row(digits##6) row(digits##7) row(digits##8) row(digits##9)
#define SIXTEEN(row) TEN(row, ) row(10) row(11) row(12) row(13) row(14) row(15)
#define THIRTY_TWO(row) TEN(row, ) TEN(row, 1) TEN(row, 2) row(30) row(31)
#define HUNDRED_28(row)                                                         \
    TEN(row, ) TEN(row, 1) TEN(row, 2) TEN(row, 3) TEN(row, 4) TEN(row, 5)      \
    TEN(row, 6) TEN(row, 7) TEN(row, 8) TEN(row, 9) TEN(row, 10) TEN(row, 11)   \
    row(120) row(121) row(122) row(123) row(124) row(125) row(126) row(127)
#define WORD(number, base, stride, name) \
    {(base) + (stride) * (number), 4, MEM_RW, name #number, NULL},
#define RAL(n) WORD(n, 0x5400, 8, "RAL")
#define RAH(n) WORD(n, 0x5404, 8, "RAH")
#define MTA(n) WORD(n, 0x5200, 4, "MTA")
#define VFTA(n) WORD(n, 0x5600, 4, "VFTA")
#define WUPM(n) WORD(n, 0x5a00, 4, "WUPM")
#define FFMT(n) WORD(n, 0x9000, 8, "FFMT")
#define FFVT(n) WORD(n, 0x9800, 8, "FFVT")
#define IP4AT(n) WORD(n, 0x5840, 8, "IP4AT")
#define IP6AT(n) WORD(n, 0x5880, 4, "IP6AT")
#define FFLT(n) WORD(n, 0x5f00, 8, "FFLT")

/* The first row that fits counts: of registers that are many it is one of the first. */
const struct mem_register e1000_registers[] = {
    SIXTEEN(RAL)
    SIXTEEN(RAH)
    HUNDRED_28(MTA)
    HUNDRED_28(VFTA)
    THIRTY_TWO(WUPM)
    HUNDRED_28(FFMT)
    HUNDRED_28(FFVT)
    IP4AT(0) IP4AT(1) IP4AT(2) IP4AT(3)
    IP6AT(0) IP6AT(1) IP6AT(2) IP6AT(3)
    FFLT(0) FFLT(1) FFLT(2) FFLT(3)
#define REGISTER(offset, name, words, access, writable, fields) {offset, 4, access, #name, fields},
#include "device/e1000_registers.def"
#undef REGISTER
    {0, 0, 0, NULL, NULL},
};
// clang-format on
