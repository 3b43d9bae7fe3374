# SPDX-License-Identifier: MIT
"""What is measured of probes: the cost of one, and how many a second go through."""

from measure import Failed, run_json
from rows import Row, Series, at_least_times, at_most_more

REPEATS = 4  # of each program, A B A B
SUSTAINED_REPEATS = 7
EVENTS = 3_000_000
RECORD_BYTES = 32 + 3 * 8


def costs(build, scratch, interleaved):
    """The cost of one probe, as nanoseconds an event, in bursts that fit the thread's ring."""
    program = build / "bench/probe_cost"

    def job(*arguments, loops=("clock", "three"), **numbers):
        options = [part for name, value in numbers.items() for part in (f"--{name}", value)]

        def work():
            found = run_json([program, *options, *arguments, *loops])
            own = {f"{loop}, own": values for loop, values in found["own_ns"].items()}
            return {**found["ns"], **own}
        return work

    simple = "bench_*,file=/dev/null"
    flight = scratch / "flight"
    jobs = {
        "disabled": job(loops=("empty", "branch", "disabled"), burst=4_000_000),
        "quarter": job("-trace", simple, burst=10_000),
        "simple": job("-trace", simple, loops=("clock", "three", "text"), burst=40_000),
        "filter, all": job("-trace", f"bench_three,file=/dev/null,filter=number < {1 << 40}"),
        "filter, none": job("-trace", f"bench_three,file=/dev/null,filter=number > {1 << 40}"),
        "ctf": job("-trace", f"bench_three,writer=ctf,file={scratch / 'cost-ctf'}", rounds=20),
        # The first lap over the file takes page faults; what lasts is measured.
        "flight": job("-trace", f"bench_three,mode=flight,size=64M,file={flight}", "--no-flush",
                      warm=40),
        "log": job("-D", scratch / "cost-log", "-d", "trace:bench_three", burst=10_000, rounds=10),
        "usdt": job(loops=("clock", "usdt")),
    }
    samples = interleaved(jobs, REPEATS)

    def row(name, job, loop, beside_name, beside, goal=None):
        own = Series("ns", samples[job][f"{loop}, own"])
        return Row(name, Series("ns", samples[job][loop]), beside_name,
                   Series("ns", samples[job][beside]), goal,
                   f"own processor time {own.text()}")

    def enabled(name, job, loop="three", goal=None):
        return row(name, job, loop, "clock read", "clock", goal)

    ten = at_most_more(10, "at most clock read + 10 ns")
    return samples, [
        row("disabled, three arguments", "disabled", "disabled", "loop with a branch", "branch",
            at_most_more(1, "less than 1 ns more")),
        row("loop with a branch", "disabled", "branch", "empty loop", "empty"),
        enabled("three arguments, simple, 10000 in a row", "quarter", goal=ten),
        enabled("three arguments, simple, 40000 in a row", "simple", goal=ten),
        enabled("two numbers and a text, simple", "simple", "text"),
        enabled("filter that lets all through, simple", "filter, all"),
        enabled("filter that lets none through, simple", "filter, none"),
        enabled("three arguments, ctf", "ctf"),
        enabled("three arguments, mode=flight", "flight"),
        enabled("three arguments, text log to a file", "log"),
        enabled("static probe alone, nothing attached", "usdt", "usdt"),
    ]


def sustained(build, scratch, interleaved):
    """How many events a second go through, until all are in the file."""
    program = build / "bench/throughput"
    file = scratch / "sustained"

    def rates(found):
        return {"rate": [found["fired"] * 1e3 / found["total_ns"]],
                "processor_ns": [(found["user_us"] + found["system_us"]) * 1e3 / found["fired"]],
                "lost_share": [found["lost"] / found["fired"]]}

    def prepare():
        """Leaves free memory behind that the system has used before: memory that it must first get
        from the machine below it costs several times more, and not always."""
        run_json([program, "--count", EVENTS, "--raw", file])
        file.unlink()

    def job(path, threads, options="", times=1):
        def work():
            if path == file:
                prepare()
            found = run_json([program, "--threads", threads, "--count", EVENTS * times, "-trace",
                              f"bench_three,file={path}{options}"])
            if path == file:
                size = file.stat().st_size
                file.unlink()
                if size < (found["fired"] - found["lost"]) * RECORD_BYTES:
                    raise Failed(f"{path}: holds {size} bytes, too few for {found}")
            return rates(found)
        return work

    def raw():
        prepare()
        found = run_json([program, "--count", EVENTS, "--raw", file])
        file.unlink()
        return rates(found)

    jobs = {
        "null, 1 thread": job("/dev/null", 1, times=2),
        "null, 4 threads": job("/dev/null", 4, times=2),
        "file, raw": raw,
        "file, 1 thread": job(file, 1),
        "file, 4 threads": job(file, 4),
        "drop, 1 thread": job(file, 1, ",overflow=drop"),
        "drop, 4 threads": job(file, 4, ",overflow=drop"),
    }
    samples = interleaved(jobs, SUSTAINED_REPEATS)

    def row(name, job, beside_name="", beside=None, goal=None):
        remark = f"{Series('ns', samples[job]['processor_ns']).median:.0f} ns of processor an event"
        lost = sorted(samples[job]["lost_share"])[SUSTAINED_REPEATS // 2]
        if job.startswith("drop"):
            remark += f"; {lost:.0%} dropped"
        return Row(name, Series("M/s", samples[job]["rate"]), beside_name,
                   Series("M/s", samples[beside]["rate"]) if beside else None, goal, remark)

    no_less = at_least_times(1, "at least as much")
    return samples, [
        row("lossless to /dev/null, 1 thread", "null, 1 thread"),
        row("lossless to /dev/null, 4 threads", "null, 4 threads", "1 thread", "null, 1 thread",
            no_less),
        row("lossless to a file, 1 thread", "file, 1 thread", "write(2) alone", "file, raw"),
        row("lossless to a file, 4 threads", "file, 4 threads", "1 thread", "file, 1 thread",
            no_less),
        row("overflow=drop to a file, 1 thread, fired", "drop, 1 thread"),
        row("overflow=drop to a file, 4 threads, fired", "drop, 4 threads"),
    ]
