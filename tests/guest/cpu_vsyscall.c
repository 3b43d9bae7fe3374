/* SPDX-License-Identifier: MIT
 *
 * The vsyscall page and the vDSO: calls through both give what the system calls give; where the
 * kernel offers no vsyscall page, calling it is a fault at its address. */
#include <dlfcn.h>
#include <elf.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#include "expect.h"

static const uint64_t PAGE = 0xffffffffff600000;
static sigjmp_buf out;
static uint64_t fault_pc, fault_address;

static void on_fault(int signal, siginfo_t *info, void *opaque)
{
    fault_pc = (uint64_t)((ucontext_t *)opaque)->uc_mcontext.gregs[REG_RIP];
    fault_address = (uintptr_t)info->si_addr;
    siglongjmp(out, signal);
}

static bool offered(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[400];
    bool found = false;
    EXPECT_OR_END(maps);
    while (fgets(line, sizeof line, maps)) {
        found |= strstr(line, "[vsyscall]") != NULL;
    }
    fclose(maps);
    return found;
}

static void vsyscall_page(void)
{
    int (*get_time_of_day)(struct timeval *, void *) =
        (int (*)(struct timeval *, void *))(uintptr_t)PAGE;
    time_t (*get_time)(time_t *) = (time_t(*)(time_t *))(uintptr_t)(PAGE + 1024);
    int (*get_cpu)(unsigned *, unsigned *, void *) =
        (int (*)(unsigned *, unsigned *, void *))(uintptr_t)(PAGE + 2048);

    if (!offered()) {
        if (sigsetjmp(out, 1) == 0) {
            get_time(NULL);
            EXPECT_THAT(false, "no vsyscall page is shown, but it can be called");
        }
        EXPECT_SAME(fault_pc, PAGE + 1024);
        EXPECT_SAME(fault_address, PAGE + 1024);
        return;
    }
    for (int i = 0; i < 20; i++) {
        struct timeval now, through;
        unsigned cpu = ~0u, node = ~0u;
        time_t stored = 0;
        EXPECT(gettimeofday(&now, NULL) == 0 && get_time_of_day(&through, NULL) == 0);
        EXPECT(through.tv_sec - now.tv_sec >= 0 && through.tv_sec - now.tv_sec <= 2);
        time_t seconds = get_time(&stored);
        EXPECT(seconds == stored && seconds - now.tv_sec >= -1 && seconds - now.tv_sec <= 2);
        EXPECT(get_cpu(&cpu, &node, NULL) == 0 && cpu < 4096 && node < 4096);
    }
}

static void vdso(void)
{
    struct timespec a, b, c;
    for (int i = 0; i < 1000; i++) {
        EXPECT(clock_gettime(CLOCK_MONOTONIC, &a) == 0);
        EXPECT(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &b) == 0);
        EXPECT(clock_gettime(CLOCK_MONOTONIC, &c) == 0);
        int64_t ns[3] = {a.tv_sec * 1000000000ll + a.tv_nsec, b.tv_sec * 1000000000ll + b.tv_nsec,
                         c.tv_sec * 1000000000ll + c.tv_nsec};
        EXPECT(ns[0] <= ns[1] && ns[1] <= ns[2]);
    }
    EXPECT(time(NULL) > 1600000000);
    EXPECT(clock_getres(CLOCK_REALTIME, &a) == 0 && a.tv_sec == 0);
    /* The image itself is readable, and an ELF file. */
    const Elf64_Ehdr *image = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
    if (image) {
        EXPECT(!memcmp(image->e_ident, ELFMAG, SELFMAG) && image->e_machine == EM_X86_64);
        void *handle = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);
        EXPECT_OR_END(handle);
        int (*gettime)(clockid_t, struct timespec *) =
            (int (*)(clockid_t, struct timespec *))dlsym(handle, "__vdso_clock_gettime");
        EXPECT_OR_END(gettime);
        EXPECT(gettime(CLOCK_REALTIME, &a) == 0 && a.tv_sec > 1600000000);
        EXPECT(gettime(12345, &a) != 0);
        dlclose(handle);
    }
}

int main(void)
{
    alarm(60);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    vsyscall_page();
    vdso();
    return expect_done();
}
