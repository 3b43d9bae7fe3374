/* SPDX-License-Identifier: MIT
 *
 * Copies that may fault and system calls that may be aborted. The assembly comes first; the labels
 * are what user_access_fault() and user_access_abort() compare the interrupted address with.
 *
 * Restart range. The kernel delivers a signal with RIP behind SYSCALL when the call is over, and at
 * SYSCALL, with RAX as it was, when it wants the call made again, which it does for our handlers
 * (SA_RESTART) wherever it would do so for some handler. So a handler that finds RIP from the check
 * up to SYSCALL knows that the call has had no effect, and a signal between check and SYSCALL is
 * not slept over. */
#include "user/access.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

// clang-format off
__asm__(".text\n"
        ".type user_asm_copy, @function\n"
        "user_asm_copy:\n" /* rdi to, rsi from, rdx size; gives what is left */
        "	mov %rdx, %rcx\n"
        "	cmp $512, %rdx\n" /* few: sixteen at a time, as far as they all can be accessed */
        "	ja user_asm_copy_start\n"
        "1:	sub $16, %rcx\n"
        "	jb user_asm_copy_rest\n"
        "user_asm_copy_some:\n"
        "	movups (%rsi), %xmm0\n"
        "	movups %xmm0, (%rdi)\n"
        "user_asm_copy_some_end:\n"
        "	add $16, %rsi\n"
        "	add $16, %rdi\n"
        "	jmp 1b\n"
        "user_asm_copy_rest:\n"
        "	add $16, %rcx\n"
        "user_asm_copy_start:\n"
        "	rep movsb\n"
        "user_asm_copy_end:\n"
        "	mov %rcx, %rax\n"
        "	ret\n"
        ".size user_asm_copy, . - user_asm_copy\n"

        ".type user_asm_exchange, @function\n"
        "user_asm_exchange:\n" /* rdi address, esi old, edx value, rcx seen; gives 0 or 1 */
        "	mov %esi, %eax\n"
        "user_asm_exchange_start:\n"
        "	lock cmpxchg %edx, (%rdi)\n"
        "user_asm_exchange_end:\n"
        "	mov %eax, (%rcx)\n"
        "	xor %eax, %eax\n"
        "	ret\n"
        "user_asm_exchange_fault:\n"
        "	mov $1, %eax\n"
        "	ret\n"
        ".size user_asm_exchange, . - user_asm_exchange\n"

        ".type user_asm_touch, @function\n"
        "user_asm_touch:\n" /* rdi address, esi write, rdx fault; gives 0 or 1 */
        "	test %esi, %esi\n"
        "	jnz 1f\n"
        "user_asm_touch_read:\n"
        "	movb (%rdi), %al\n"
        "	xor %eax, %eax\n"
        "	ret\n"
        "1:\n"
        "user_asm_touch_write:\n"
        "	lock orb $0, (%rdi)\n"
        "	xor %eax, %eax\n"
        "	ret\n"
        "user_asm_touch_fault:\n"
        "	mov $1, %eax\n"
        "	ret\n"
        ".size user_asm_touch, . - user_asm_touch\n"

        ".type user_asm_call, @function\n"
        "user_asm_call:\n" /* rdi attention, rsi number, rdx args */
        "	push %rbx\n"
        "	mov %rdi, %rbx\n"
        "	mov %rsi, %rax\n"
        "	mov %rdx, %r11\n"
        "	mov (%r11), %rdi\n"
        "	mov 8(%r11), %rsi\n"
        "	mov 16(%r11), %rdx\n"
        "	mov 24(%r11), %r10\n"
        "	mov 32(%r11), %r8\n"
        "	mov 40(%r11), %r9\n"
        "user_asm_call_check:\n"
        "	cmpq $0, (%rbx)\n"
        "	jne user_asm_call_abort\n"
        "user_asm_call_syscall:\n"
        "	syscall\n"
        "	pop %rbx\n"
        "	ret\n"
        "user_asm_call_abort:\n"
        "	mov $-512, %rax\n"
        "	pop %rbx\n"
        "	ret\n"
        ".size user_asm_call, . - user_asm_call\n"

        ".type user_asm_vfork, @function\n"
        "user_asm_vfork:\n" /* rdi number, rsi args, rdx child, rcx argument */
        "	push %rbx\n"
        "	push %r12\n"
        "	sub $8, %rsp\n"
        "	mov %rdx, %rbx\n"
        "	mov %rcx, %r12\n"
        "	mov %rdi, %rax\n"
        "	mov %rsi, %r11\n"
        "	mov (%r11), %rdi\n"
        "	mov 8(%r11), %rsi\n"
        "	mov 16(%r11), %rdx\n"
        "	mov 24(%r11), %r10\n"
        "	mov 32(%r11), %r8\n"
        "	mov 40(%r11), %r9\n"
        "	syscall\n"
        "	test %rax, %rax\n"
        "	jnz 1f\n"
        "	mov %r12, %rdi\n"
        "	call *%rbx\n"
        "	ud2\n"
        "1:	add $8, %rsp\n"
        "	pop %r12\n"
        "	pop %rbx\n"
        "	ret\n"
        ".size user_asm_vfork, . - user_asm_vfork\n");
// clang-format on

size_t user_asm_copy(uint64_t to, uint64_t from, size_t size);
int user_asm_exchange(uint64_t address, uint32_t old, uint32_t value, uint32_t *seen);
int user_asm_touch(uint64_t address, int write, struct vcpu_fault *fault);
int64_t user_asm_call(const uint64_t *attention, uint64_t number, const uint64_t *args);
int64_t user_asm_vfork(uint64_t number, const uint64_t *args, void (*child)(void *argument),
                       void *argument);
extern const char user_asm_copy_start[], user_asm_copy_end[];
extern const char user_asm_copy_some[], user_asm_copy_some_end[], user_asm_copy_rest[];
extern const char user_asm_exchange_start[], user_asm_exchange_end[], user_asm_exchange_fault[];
extern const char user_asm_touch_read[], user_asm_touch_write[], user_asm_touch_fault[];
extern const char user_asm_call_check[], user_asm_call_syscall[], user_asm_call_abort[];

static bool is_guest_range(uint64_t start, size_t size)
{
    return start < USER_ADDRESS_END && size <= USER_ADDRESS_END - start;
}

bool user_copy_in(void *to, uint64_t from, size_t size)
{
    return is_guest_range(from, size) && user_asm_copy((uint64_t)(uintptr_t)to, from, size) == 0;
}

bool user_copy_out(uint64_t to, const void *from, size_t size)
{
    return is_guest_range(to, size) && user_asm_copy(to, (uint64_t)(uintptr_t)from, size) == 0;
}

size_t user_copy_some(void *to, uint64_t from, size_t size)
{
    if (from >= USER_ADDRESS_END) {
        return 0;
    }
    if (size > USER_ADDRESS_END - from) {
        size = USER_ADDRESS_END - from;
    }
    return size - user_asm_copy((uint64_t)(uintptr_t)to, from, size);
}

int64_t user_copy_string(char *to, uint64_t from, size_t size)
{
    enum { STEP = 256 };

    for (size_t done = 0; done < size;) {
        /* Not over the end of a block: what lies behind a string may not be readable. */
        size_t step = STEP - (from + done) % STEP;
        step = step < size - done ? step : size - done;
        if (!user_copy_in(to + done, from + done, step)) {
            return -EFAULT;
        }
        const char *end = memchr(to + done, 0, step);
        if (end) {
            return end - to;
        }
        done += step;
    }
    return -ENAMETOOLONG;
}

bool user_put_u32(uint64_t address, uint32_t value)
{
    return user_copy_out(address, &value, sizeof value);
}

bool user_put_u64(uint64_t address, uint64_t value)
{
    return user_copy_out(address, &value, sizeof value);
}

bool user_compare_exchange(uint64_t address, uint32_t old, uint32_t value, uint32_t *seen)
{
    return is_guest_range(address, sizeof value) &&
           user_asm_exchange(address, old, value, seen) == 0;
}

bool user_touch(uint64_t address, bool write, struct vcpu_fault *fault)
{
    return user_asm_touch(address, write, fault) == 0;
}

/* --- for instructions that are executed in C --- */

static bool guest_read(void *opaque, uint64_t address, void *to, size_t size,
                       uint64_t *fault_address)
{
    (void)opaque;
    size_t left = user_asm_copy((uint64_t)(uintptr_t)to, address, size);
    *fault_address = address + size - left;
    return left == 0;
}

static bool guest_write(void *opaque, uint64_t address, const void *from, size_t size,
                        uint64_t *fault_address)
{
    (void)opaque;
    size_t left = user_asm_copy(address, (uint64_t)(uintptr_t)from, size);
    *fault_address = address + size - left;
    return left == 0;
}

static bool guest_probe_write(void *opaque, uint64_t address, size_t size, uint64_t *fault_address)
{
    enum { PAGE = 4096 };
    struct vcpu_fault fault;

    (void)opaque;
    for (uint64_t at = address, end = address + size; at < end; at = (at | (PAGE - 1)) + 1) {
        *fault_address = at;
        if (!user_touch(at, true, &fault)) {
            return false;
        }
    }
    return true;
}

const struct x86_memory_access user_guest_memory = {
    .read = guest_read,
    .write = guest_write,
    .probe_write = guest_probe_write,
};

/* --- system calls --- */

int64_t user_call_raw(const uint64_t *attention, uint64_t number, const uint64_t args[6])
{
    return user_asm_call(attention, number, args);
}

int64_t user_call_vfork(uint64_t number, const uint64_t args[6], void (*child)(void *argument),
                        void *argument)
{
    return user_asm_vfork(number, args, child, argument);
}

static bool between(const ucontext_t *context, const char *start, const char *end)
{
    uint64_t pc = (uint64_t)context->uc_mcontext.gregs[REG_RIP];

    return pc >= (uint64_t)(uintptr_t)start && pc < (uint64_t)(uintptr_t)end;
}

static void go(ucontext_t *context, const char *to)
{
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)to;
}

bool user_access_fault(void *ucontext)
{
    ucontext_t *context = ucontext;

    if (between(context, user_asm_copy_some, user_asm_copy_some_end)) {
        go(context, user_asm_copy_rest);
        return true;
    }
    if (between(context, user_asm_copy_start, user_asm_copy_end)) {
        go(context, user_asm_copy_end);
        return true;
    }
    if (between(context, user_asm_exchange_start, user_asm_exchange_end)) {
        go(context, user_asm_exchange_fault);
        return true;
    }
    return false;
}

bool user_touch_fault(int signal, const siginfo_t *info, void *ucontext)
{
    ucontext_t *context = ucontext;
    const greg_t *regs = context->uc_mcontext.gregs;
    uint64_t pc = (uint64_t)regs[REG_RIP];

    if (pc != (uint64_t)(uintptr_t)user_asm_touch_read &&
        pc != (uint64_t)(uintptr_t)user_asm_touch_write) {
        return false;
    }
    *(struct vcpu_fault *)(uintptr_t)regs[REG_RDX] = (struct vcpu_fault){
        // NOLINT
        .signal = signal,
        .code = info->si_code,
        .address = (uint64_t)(uintptr_t)info->si_addr,
        .trap = (uint32_t)regs[REG_TRAPNO],
        .error = (uint32_t)regs[REG_ERR],
    };
    go(context, user_asm_touch_fault);
    return true;
}

bool user_access_abort(void *ucontext)
{
    ucontext_t *context = ucontext;

    if (!between(context, user_asm_call_check, user_asm_call_syscall + 1)) {
        return false;
    }
    go(context, user_asm_call_abort);
    return true;
}
