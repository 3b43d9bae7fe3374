/* SPDX-License-Identifier: MIT
 *
 * Guest memory that is this process's own, asked for politely. */
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "guest/x86/helpers.h"

enum { PAGE = 4096 };

/* Linux, since 5.14. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static void *pointer(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

/* Copies between this process and itself; the kernel stops at the first bad page. */
static bool copy(bool write, uint64_t address, void *own, size_t size, uint64_t *fault_address)
{
    size_t done = 0;

    while (done < size) {
        struct iovec local = {(char *)own + done, size - done};
        struct iovec remote = {pointer(address + done), size - done};
        ssize_t count = write ? process_vm_writev(gettid(), &local, 1, &remote, 1, 0)
                              : process_vm_readv(gettid(), &local, 1, &remote, 1, 0);
        if (count <= 0) {
            *fault_address = address + done;
            return false;
        }
        done += (size_t)count;
    }
    return true;
}

static bool direct_read(void *opaque, uint64_t address, void *to, size_t size,
                        uint64_t *fault_address)
{
    (void)opaque;
    return copy(false, address, to, size, fault_address);
}

static bool direct_write(void *opaque, uint64_t address, const void *from, size_t size,
                         uint64_t *fault_address)
{
    (void)opaque;
    return copy(true, address, (void *)(uintptr_t)from, size, fault_address);
}

/* Makes the page writable in the page table, as a store would. Where the kernel is too old or will
 * not do it for this kind of memory, the byte is written again with its own value. */
static bool probe_page(uint64_t address)
{
    uint64_t bad;
    char byte;

    if (madvise(pointer(address & ~UINT64_C(4095)), PAGE, MADV_POPULATE_WRITE) == 0) {
        return true;
    }
    return copy(false, address, &byte, 1, &bad) && copy(true, address, &byte, 1, &bad);
}

static bool direct_probe_write(void *opaque, uint64_t address, size_t size, uint64_t *fault_address)
{
    uint64_t end = address + size;

    (void)opaque;
    for (uint64_t at = address; at < end; at = (at | (PAGE - 1)) + 1) {
        if (!probe_page(at)) {
            *fault_address = at;
            return false;
        }
    }
    return true;
}

/* What can be read is there; what cannot is not, for the CPU: Linux keeps no page-table entry for
 * it. */
static bool direct_present(void *opaque, uint64_t address)
{
    uint64_t bad;
    char byte;

    (void)opaque;
    return copy(false, address, &byte, 1, &bad);
}

const struct x86_memory_access x86_direct_memory = {
    .read = direct_read,
    .write = direct_write,
    .probe_write = direct_probe_write,
    .present = direct_present,
};
