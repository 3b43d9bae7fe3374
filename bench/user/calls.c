/* SPDX-License-Identifier: MIT
 *
 * Calls and returns: Fibonacci numbers, Ackermann's and Hofstadter's functions, by recursion. */
#include <stdio.h>

__attribute__((noinline)) static unsigned fibonacci(unsigned n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__attribute__((noinline)) static unsigned ackermann(unsigned m, unsigned n)
{
    return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

__attribute__((noinline)) static int male(int n);

__attribute__((noinline)) static int female(int n)
{
    return n == 0 ? 1 : n - male(female(n - 1));
}

__attribute__((noinline)) static int male(int n)
{
    return n == 0 ? 0 : n - female(male(n - 1));
}

int main(void)
{
    unsigned f = fibonacci(44), a = 0;
    for (int i = 0; i < 8; i++) {
        a += ackermann(3, 9);
    }
    printf("%u %u %d\n", f, a, male(170));
    return 0;
}
