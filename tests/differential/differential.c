/* SPDX-License-Identifier: MIT
 *
 * The program: runs random instructions of every opcode row on the real CPU and in the engine, and
 * compares everything. `differential --help` tells the options.
 *
 * A child process runs the cases, so that a crash or a hang of the engine is a result like any
 * other; the parent starts the next child behind the case. Tallies are in memory that they share.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "differential.h"
#include "engine_side.h"
#include "self_test.h"

struct settings settings = {.only = -1, .side = -1, .show = 1};
struct shared *shared;

/* --- child and parent */

static void run_items(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    one_case_open();
    for (; shared->item < item_count; shared->item++, shared->number = 0)
        for (; shared->number < settings.cases; shared->number++) {
            shared->progress++;
            if (settings.only < 0 || shared->number == settings.only)
                one_case(&items[shared->item], shared->number, &shared->tally[shared->item]);
        }
    shared->done = true;
}

/* Waits for the child; kills it when it does not get on. True: it hung. */
static bool wait_for(pid_t child, int *status)
{
    uint32_t last = 0;
    unsigned still = 0;
    struct timespec nap = {0, 20 * 1000 * 1000};

    while (waitpid(child, status, WNOHANG) == 0) {
        still = shared->progress == last ? still + 1 : 0;
        last = shared->progress;
        if (still == 250) {
            kill(child, SIGKILL);
            waitpid(child, status, 0);
            return true;
        }
        nanosleep(&nap, NULL);
    }
    return false;
}

static void note_end(bool hung, int status)
{
    struct tally *tally = &shared->tally[shared->item];
    struct strbuf out;

    strbuf_init(&out);
    one_case_print_how(&out, &items[shared->item], shared->number,
                       settings.side >= 0 ? (unsigned)settings.side : 0);
    if (hung)
        printf("\nhangs: %s", out.data);
    else if (!(WIFEXITED(status) && WEXITSTATUS(status) == 3))
        printf("\nthe process ended with status %#x: %s", status, out.data);
    strbuf_free(&out);
    fflush(stdout);
    if (hung)
        tally->hangs++;
    else
        tally->crashes++;
    shared->progress++;
    shared->number++;
    if (tally->hangs + tally->crashes >= 3) {
        shared->item++;
        shared->number = 0;
    }
}

static void run_all(void)
{
    while (!shared->done && shared->item < item_count) {
        pid_t child;
        int status;
        bool hung;

        fflush(stdout);
        child = fork();
        if (child < 0)
            bug("fork: %s", strerror(errno));
        if (child == 0) {
            run_items();
            _exit(0);
        }
        hung = wait_for(child, &status);
        if (!shared->done)
            note_end(hung, status);
    }
}

/* --- report */

static bool failed(const struct tally *t)
{
    return t->failures + t->crashes + t->hangs + t->unmet > 0;
}

static void print_item(const struct item *item, const struct tally *t)
{
    printf("%-28s %6u cases %6u faults", item->name, t->cases, t->faults);
    if (t->failures > 0)
        printf("  %u differ:", t->failures);
    for (unsigned i = 0; i < COMPARE_KINDS; i++)
        if (t->different[i] > 0)
            printf(" %s %u", compare_name(i), t->different[i]);
    if (t->crashes > 0)
        printf("  crashes %u", t->crashes);
    if (t->hangs > 0)
        printf("  hangs %u", t->hangs);
    if (t->unmet > 0)
        printf("  not encoded %u", t->unmet);
    putchar('\n');
}

static int report(void)
{
    struct tally sum = {0};
    unsigned bad = 0, never = 0;

    for (unsigned i = 0; i < item_count; i++) {
        const struct tally *t = &shared->tally[i];

        sum.cases += t->cases;
        sum.faults += t->faults;
        sum.failures += t->failures;
        sum.crashes += t->crashes;
        sum.hangs += t->hangs;
        sum.unmet += t->unmet;
        for (unsigned k = 0; k < COMPARE_KINDS; k++)
            sum.different[k] += t->different[k];
        bad += failed(t);
        never += t->cases == 0;
        if (failed(t) || settings.list || (settings.coverage && t->cases == t->faults))
            print_item(&items[i], t);
    }
    print_item(&(struct item){.name = "all"}, &sum);
    printf("seed %#llx: %u rows and forms, %u with differences, %u never run\n",
           (unsigned long long)settings.seed, item_count, bad, never);
    return bad > 0 || never > 0 ? 1 : 0;
}

/* --- command line */

static const char HELP[] =
    "differential [options]: opcode rows on the real CPU and in the engine\n"
    "  --row NAME       only this row (as --list has it) or mnemonic; program, undefined\n"
    "  --cpu MODEL      the guest's CPU: MODEL[,+feature,-feature...], as -cpu has it (max)\n"
    "  --cases N        cases for each row and form (40)\n"
    "  --case N         only case N\n"
    "  --seed N         0x... or decimal; else a new one\n"
    "  --switch NAME    engine switches: none, nochain, one, noliveness, count, selfcheck,\n"
    "                   randomexits, smallcache, short, near, all; else all of them in turn\n"
    "  --show N         failing cases to print for each row (1)\n"
    "  --ignore KIND    do not fail for this kind of difference: registers, rip, flags,\n"
    "                   \"undefined flags\", vector, x87, \"x87 pointers\", memory, fault,\n"
    "                   address, told\n"
    "  --list           a line for each row, run or not\n"
    "  --coverage       a line for each row that only ever faulted\n"
    "  --native         the real CPU against itself\n"
    "  --soft           the engine in system mode, memory through its soft TLB\n"
    "  --probes         with guest probes of every instruction; what they tell is judged\n"
    "  --verbose        print every case\n"
    "  --self-test      does the comparison find planted differences?\n";

static unsigned number_of(const char *text, const char *(*name)(unsigned), unsigned count,
                          const char *what)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(name(i), text) == 0)
            return i;
    fprintf(stderr, "differential: no %s is called %s; --help lists them\n", what, text);
    exit(2);
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"cpu", 1, NULL, 'u'},      {"row", 1, NULL, 'r'},       {"cases", 1, NULL, 'n'},
        {"case", 1, NULL, 'c'},     {"seed", 1, NULL, 's'},      {"switch", 1, NULL, 'w'},
        {"show", 1, NULL, 'S'},     {"ignore", 1, NULL, 'i'},    {"list", 0, NULL, 'l'},
        {"coverage", 0, NULL, 'C'}, {"native", 0, NULL, 'N'},    {"probes", 0, NULL, 'p'},
        {"verbose", 0, NULL, 'v'},  {"self-test", 0, NULL, 't'}, {"help", 0, NULL, 'h'},
        {"soft", 0, NULL, 'o'},     {NULL, 0, NULL, 0},
    };
    const char *length = getenv("VITRINE_CHECK");
    int option;

    settings.cases = length != NULL && strcmp(length, "long") == 0 ? 1000 : 40;
    settings.seed = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'u': settings.cpu = optarg; break;
        case 'r': settings.row = optarg; break;
        case 'n': settings.cases = strtoul(optarg, NULL, 0); break;
        case 'c': settings.only = strtoul(optarg, NULL, 0); break;
        case 's': settings.seed = strtoull(optarg, NULL, 0); break;
        case 'w':
            settings.side = number_of(optarg, engine_side_name, engine_side_count(), "switch");
            break;
        case 'S': settings.show = strtoul(optarg, NULL, 0); break;
        case 'i':
            settings.ignore |= 1u << number_of(optarg, compare_name, COMPARE_KINDS, "kind");
            break;
        case 'l': settings.list = true; break;
        case 'C': settings.coverage = true; break;
        case 'N': settings.native_only = true; break;
        case 'p': settings.probes = true; break;
        case 'o': settings.soft = true; break;
        case 'v': settings.verbose = true; break;
        case 't': exit(self_test());
        case 'h': fputs(HELP, stdout); exit(0);
        default: exit(2);
        }
    if (settings.only >= 0 && settings.cases <= settings.only)
        settings.cases = settings.only + 1;
}

int main(int argc, char **argv)
{
    struct error err;
    size_t size;

    read_options(argc, argv);
    if (settings.soft && (settings.probes || settings.native_only)) {
        fprintf(stderr, "differential: --soft goes with neither --probes nor --native\n");
        return 2;
    }
    if (settings.soft)
        engine_side_soft();
    if (!engine_side_model(settings.cpu, &err)) {
        fprintf(stderr, "differential: %s\n", err.text);
        return 2;
    }
    items_make();
    if (item_count == 0) {
        fprintf(stderr, "differential: no row is called %s; --list lists them\n", settings.row);
        return 2;
    }
    printf("seed %#llx\n", (unsigned long long)settings.seed);
    size = sizeof *shared + item_count * sizeof *shared->tally;
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        bug("no shared memory");
    run_all();
    if (settings.list)
        items_print_excluded();
    return report();
}
