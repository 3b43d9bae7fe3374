/* SPDX-License-Identifier: MIT
 *
 * Timers that interrupt computing a thousand times a second: results of integer, SSE, AVX and x87
 * work are the same as without, whatever the handlers do with the registers; and every tick comes.
 */
#include <immintrin.h>
#include <math.h>
#include <sys/time.h>
#include <time.h>

#include "expect.h"

static volatile int ticks;

__attribute__((noinline)) static double spoil(double x)
{
    volatile long double y = (long double)x;

    for (int i = 0; i < 8; i++) {
        y = sinl(y) + 1;
    }
    return (double)y + pow(x, 1.5);
}

static void tick(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    ticks++;
    if (info->si_code == SI_TIMER) {
        EXPECT_SAME(info->si_value.sival_int, 99);
    }
    EXPECT(spoil(ticks) > 0);
}

static uint64_t integers(unsigned rounds)
{
    uint64_t a = 1, b = 2;

    for (unsigned i = 0; i < rounds; i++) {
        a = a * 6364136223846793005u + b;
        b ^= a >> 29 | a << 35;
        b += __builtin_popcountll(a) + (a > b);
    }
    return a ^ b;
}

static double doubles(unsigned rounds)
{
    double x = 0.5, sum = 0;
    long double y = 1;

    for (unsigned i = 0; i < rounds; i++) {
        x = x * 3.7 * (1 - x);
        y = y * 1.0000001L + (long double)x;
        sum += sqrt(x);
        y = y > 1e6L ? y / 1e6L : y;
    }
    return sum + (double)y;
}

__attribute__((target("avx"))) static double vectors(unsigned rounds)
{
    __m256d x = _mm256_set_pd(0.1, 0.2, 0.3, 0.4), r = _mm256_set1_pd(3.6), one = _mm256_set1_pd(1),
            sum = _mm256_setzero_pd();
    double out[4];

    for (unsigned i = 0; i < rounds; i++) {
        x = _mm256_mul_pd(_mm256_mul_pd(x, r), _mm256_sub_pd(one, x));
        sum = _mm256_add_pd(sum, x);
    }
    _mm256_storeu_pd(out, sum);
    return out[0] + out[1] * 3 + out[2] * 5 + out[3] * 7;
}

struct results {
    uint64_t i;
    double d, v;
};

static struct results compute(bool avx)
{
    return (struct results){integers(30000), doubles(10000), avx ? vectors(10000) : 0};
}

/* Until there were enough ticks, whatever that takes. They are 20 ms apart: an engine without links
 * needs some for the handler. */
static void compare(const struct results *expected, bool avx)
{
    for (int i = 0; i < 3 || (ticks <= 8 && i < 20000); i++) {
        struct results now = compute(avx);
        EXPECT(memcmp(&now, expected, sizeof now) == 0);
    }
}

int main(void)
{
    bool avx = __builtin_cpu_supports("avx");
    struct results expected = compute(avx);
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct itimerval interval = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};

    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGRTMIN + 3, &action, NULL);
    setitimer(ITIMER_REAL, &interval, NULL);
    compare(&expected, avx);
    setitimer(ITIMER_REAL, &off, NULL);
    EXPECT_THAT(ticks > 5, "%d ticks", ticks);

    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    struct itimerspec often = {{0, 20000000}, {0, 20000000}};
    event.sigev_value.sival_int = 99;
    EXPECT_OR_END(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    ticks = 0;
    timer_settime(timer, 0, &often, NULL);
    compare(&expected, avx);
    timer_delete(timer);
    EXPECT_THAT(ticks > 5, "%d ticks", ticks);
    return expect_done();
}
