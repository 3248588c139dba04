"""Creates a second, and how long one takes, through each binding beside the C client."""

import shutil
import statistics
import sys
from dataclasses import dataclass, field

from servers import PAYLOAD, run
from support.bindings import BINDINGS

IN_FLIGHT = (1, 64)


@dataclass
class Figures:
    """Of the rounds of one binding with so many calls in flight."""

    per_second: list = field(default_factory=list)
    p50_us: list = field(default_factory=list)


def chosen(names):
    """C and the bindings of these names, or all, that this machine can run; says what it cannot."""
    wanted = [each for each in BINDINGS if not names or each.name in ("c", *names)]
    able = []
    for binding in wanted:
        missing = [tool for tool in binding.tools if not shutil.which(tool)]
        if missing:
            print(f"left out: {binding.name}: needs {', '.join(missing)}", file=sys.stderr)
        else:
            able.append(binding)
    return able


def measure(world, binding, in_flight):
    """Creates a second and the median latency in microseconds, over one connection."""
    core = world.on_sqlite
    if binding.name == "c":
        report = core.load("create", in_flight=in_flight, seconds=world.seconds)
        return report["per_second"], report["p50_us"]
    words = binding.command("bench", core.ws_url, in_flight, world.seconds, PAYLOAD, *binding.arguments)
    latencies = [int(line) for line in run(*words).split()]
    return len(latencies) / world.seconds, statistics.median(latencies)


def measure_clients(world, names, rounds):
    """Binding and calls in flight → Figures; every binding once a round, in turning order."""
    bindings = chosen(names)
    figures = {(each.name, count): Figures() for each in bindings for count in IN_FLIGHT}
    for number in range(rounds):
        for binding in bindings if number % 2 == 0 else reversed(bindings):
            for in_flight in IN_FLIGHT:
                rate, p50 = measure(world, binding, in_flight)
                print(
                    f"  round {number + 1}: {binding.name}, {in_flight}: {rate:.0f}/s, {p50:.0f} µs",
                    file=sys.stderr,
                )
                figures[binding.name, in_flight].per_second.append(rate)
                figures[binding.name, in_flight].p50_us.append(p50)
    return figures


def print_clients(figures):
    """The medians, and in brackets their ratio to those of C."""
    print("| binding | creates/s, 1 in flight | p50, µs | creates/s, 64 in flight | p50, µs |")
    print("|---|---|---|---|---|")
    for name in dict.fromkeys(name for name, _ in figures):
        cells = []
        for in_flight in IN_FLIGHT:
            ours, c = figures[name, in_flight], figures["c", in_flight]
            cells += [beside(ours.per_second, c.per_second), beside(ours.p50_us, c.p50_us)]
        print(f"| {name} | {' | '.join(cells)} |")


def beside(ours, theirs):
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    return f"{ours:,.0f} ({ours / theirs:.2f})"
