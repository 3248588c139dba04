"""What others cost honest callers: a flood of wrong keys (row 34), and a tenant that wants ten times its
share (row 35)."""

import contextlib
import json
import statistics
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from contenders import CLIENTS, KEY, WITH_KEYS
from footprint import FOOTPRINTS, processor_seconds, verdict
from servers import HERE, PAYLOAD, TOOLS, BenchmarkFailed, compile_when_older, run
from support.keys import make_key

FLOOD = 10_000  # a second
# Only this one may say where calls come from, as a bridge does.
BRIDGES = {"TRIGGERS_BRIDGES": "127.0.0.1/32"}
ELSEWHERE = "127.0.1.1"


def build_flood():
    compile_when_older(TOOLS / "flood", [HERE / "flood.c"], "cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2")


def requests(url, op, **options):
    """Runs the generator of requests at a rate; returns its report."""
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return json.loads(run(TOOLS / "flood", "--url", url, "--op", op, "--payload", PAYLOAD, *words))


@contextlib.contextmanager
def beside(url, op, seconds, **options):
    """While it runs; its report is in the list."""
    report = []
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(requests, url, op, seconds=seconds + 0.7, **options)
        time.sleep(0.5)
        yield report
        report.append(done.result())


def url_of(program):
    return f"http://127.0.0.1:{program.port}" if hasattr(program, "port") else program.tcp_url


def write_keys(world, name, keys):
    path = world.folder / name
    path.write_text("".join(f"{key}\n" for key in keys))
    return path


# ---- 34 ----


class Honest:
    """Who creates with a good key, through the core or the bridge."""

    def __init__(self, world, core, bridge):
        self.world = world
        self.core = core
        self.bridge = bridge
        self.programs = [core, bridge] if bridge else [core]
        self.keys = write_keys(world, "good", [KEY])

    def create(self, rate):
        """At a rate; 0: as many as are answered. Returns how many a second, their p50 and p99 in
        microseconds, and the processor time of each in the same."""
        before = sum(map(processor_seconds, self.programs))
        if self.bridge:
            options = {"keys": self.keys, "rate": rate or 100_000, "connections": 256 if rate else CLIENTS}
            report = requests(url_of(self.bridge), "create", seconds=self.world.seconds, **options)
            if report["good"] < report["answered"] or report["lost"]:
                raise BenchmarkFailed(f"honest creates over REST: {report}")
        else:
            options = {"rate": rate, "in_flight": 1024} if rate else {"in_flight": CLIENTS}
            report = self.core.load("create", seconds=self.world.seconds, key=KEY, **options)
        spent = sum(map(processor_seconds, self.programs)) - before
        count = report["per_second"] * self.world.seconds
        return report["per_second"], report["p50_us"], report["p99_us"], spent / count * 1e6


def floods(world, target, other):
    """By name: where to, what, and how."""
    many = {"rate": FLOOD, "connections": CLIENTS, "depth": 16}
    unknown = write_keys(world, "unknown", [make_key() for _ in range(1000)])
    junk = write_keys(world, "junk", [make_key()[:-1] + "-" for _ in range(1000)])
    elsewhere = {"from": ELSEWHERE, "addresses": 16}
    return {
        "as many health calls of another core": (url_of(other), "health", many),
        "unknown keys from 16 addresses": (url_of(target), "create", {**many, "keys": unknown, **elsewhere}),
        "junk from the caller's address": (url_of(target), "create", {**many, "keys": junk}),
    }


def wrong_keys(world):
    """Honest creates beside a flood, over those alone: at the peak, and at 30 % of it."""
    build_flood()
    other = world.core(f"sqlite:///{world.folder / 'other.db'}")
    lines = []
    for store, database in (("SQLite", f"sqlite:///{world.folder / 'flooded.db'}"),
                            ("PostgreSQL", world.postgres.url("flooded"))):
        core = world.core(database, **WITH_KEYS, **BRIDGES)
        bridge = world.bridge(core)
        other_bridge = world.bridge(other)
        for protocol, target in (("binary", core), ("REST", bridge)):
            honest = Honest(world, core, bridge if target is bridge else None)
            control = other if target is core else other_bridge
            lines += flooded(world, honest, f"{protocol}, {store}", floods(world, target, control))
        for program in (other_bridge, bridge, core):
            program.stop()
    other.stop()
    return lines


def flooded(world, honest, where, kinds):
    peak = honest.create(0)[0]
    figures = {(None, rate): [] for rate in (0, int(peak * 0.3))}
    figures |= {(kind, rate): [] for kind in kinds for _, rate in list(figures)}
    answered = {}
    for number in range(world.rounds):
        order = list(figures)
        for kind, rate in order if number % 2 == 0 else reversed(order):
            with contextlib.ExitStack() as stack:
                if kind:
                    url, op, options = kinds[kind]
                    report = stack.enter_context(beside(url, op, world.seconds, **options))
                figures[kind, rate].append(honest.create(rate))
            if kind:
                answered[kind] = report[0]
            print(f"  {where}: {kind}, {rate}: {figures[kind, rate][-1]} {kind and report[0]}", file=sys.stderr)
    medians = {key: [statistics.median(column) for column in zip(*found)] for key, found in figures.items()}
    lines = []
    low = int(peak * 0.3)
    for kind in kinds:
        rate = medians[kind, 0][0] / medians[None, 0][0]
        p50, p99, cost = (medians[kind, low][at] / medians[None, low][at] for at in (1, 2, 3))
        held_to = kind != next(iter(kinds))
        what = f"{kind} ({answered[kind]['per_second']:,.0f} a second answered)"
        lines += [
            (f"{where}: creates at the peak beside {what}", f"{rate:.2f}", *target("≥ 0.9", rate >= 0.9, held_to)),
            ("at 30 % of it: p50, p99", f"{p50:.2f}, {p99:.2f}",
             *target("≤ 1.1", p50 <= 1.1 and p99 <= 1.1, held_to)),
            ("processor time of each, in core and bridge", f"{cost:.2f}", *target("≤ 1.1", cost <= 1.1, held_to)),
        ]  # fmt: skip
    return lines


def target(text, met, held_to):
    return (text, verdict(met)) if held_to else ("–", "")


# ---- 35 ----

SCOPES = ["events_write", "events_read", "subscriptions_consume", "subscriptions_manage"]
SHARE = 0.1  # of the peak, what one creates, lists, or pulls
LIMIT = 1.1  # of a share
# What the other one does, in shares: nothing, what he may, and ten times that. He may have a share where there
# are limits, and half of the peak else.
LIMITED, UNLIMITED = (0, 1, 10), (0, 5, 50)


class Tenants:
    """Two of a core, each with a key."""

    def __init__(self, core, bridge):
        self.core = core
        self.bridge = bridge
        self.keys = {}
        for name in "ab":
            self.limit(name)
            made = self._ask("POST", f"{name}/keys", {"name": "bench", "scopes": SCOPES})
            self.keys[name] = made["key"]

    def limit(self, name, **limits):
        self._ask("PUT", name, {"limits": limits})

    def _ask(self, method, path, body):
        request = urllib.request.Request(
            f"{url_of(self.bridge)}/api/v1/tenants/{path}", json.dumps(body).encode(), method=method,
            headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        )  # fmt: skip
        return json.load(urllib.request.urlopen(request))

    def load(self, op, name="a", **options):
        if op == "consume":
            begun = {"start": "earliest", "subscription": f"of-{name}-{time.monotonic_ns()}"}  # all waits in it
            options = {"wait": 0, "batch": 1, **begun, **options}
        return self.core.load(op, key=self.keys[name], **options)


# What is done, and which limit counts it: of a pull and its acknowledgement, both are calls.
DOINGS = {"create": ("events_per_second", 1), "list": ("calls_per_second", 1), "consume": ("calls_per_second", 2)}


@contextlib.contextmanager
def greedy(world, tenants, op, rate):
    """Tenant b wants so many a second, whatever becomes of them."""
    with ThreadPoolExecutor(1) as pool:
        if op == "consume":
            options = {"rate": rate, "in_flight": 512, "seconds": world.seconds + 2.2}
            done = pool.submit(tenants.load, op, "b", **options)
        else:
            keys = write_keys(world, "greedy", [tenants.keys["b"]])
            options = {"rate": rate, "connections": CLIENTS, "depth": 16, "keys": keys}
            done = pool.submit(requests, url_of(tenants.core), op, seconds=world.seconds + 2.2, **options)
        time.sleep(2)  # until it has used up what may come at once
        yield
        with contextlib.suppress(BenchmarkFailed):  # it is refused what is beyond its limits
            done.result()


def fairness(world):
    """p99 of tenant a while b wants ten times what he may, over b within that."""
    build_flood()
    lines = []
    for store, database in (("SQLite", f"sqlite:///{world.folder / 'fair.db'}"),
                            ("PostgreSQL", world.postgres.url("fair"))):
        core = world.core(database, **WITH_KEYS, **BRIDGES)
        bridge = world.bridge(core)
        tenants = Tenants(core, bridge)
        for name in "ab":
            tenants.load("create", name, in_flight=CLIENTS, seconds=world.seconds)
        for op in DOINGS:
            lines += fair(world, tenants, op, store)
        bridge.stop()
        core.stop()
    return lines


def fair(world, tenants, op, store):
    for name in "ab":
        tenants.limit(name)
    peak = tenants.load(op, in_flight=CLIENTS, seconds=world.seconds)
    rate = max(int(peak["calls"] / world.seconds * SHARE), 10)
    limit, weight = DOINGS[op]
    found = {}
    for _ in range(world.rounds):
        for limited, shares in ((False, UNLIMITED), (True, LIMITED)):
            for name in "ab":
                tenants.limit(name, **({limit: int(rate * weight * LIMIT)} if limited else {}))
            for times in shares:
                with greedy(world, tenants, op, rate * times) if times else contextlib.nullcontext():
                    report = tenants.load(op, rate=rate, in_flight=256, seconds=world.seconds)
                found.setdefault((limited, times), []).append(report["p99_us"])
                print(f"  {op}, {store}, {limited}, {times}: {report}", file=sys.stderr)
    p99 = {key: statistics.median(each) for key, each in found.items()}
    lines = []
    for limited, (nothing, some, much) in ((True, LIMITED), (False, UNLIMITED)):
        ratio, alone = (p99[limited, much] / p99[limited, times] for times in (some, nothing))
        what = f"{op}, {store}, {'limited' if limited else 'turns alone'}: p99 of one at {rate:,} a second"
        what += f" beside {rate * much:,} over beside {rate * some:,}"
        lines.append((what, f"{ratio:.2f}", "≤ 1.2", verdict(ratio <= 1.2)))
        lines.append((f"the same over alone ({p99[limited, nothing] / 1000:.1f} ms)", f"{alone:.2f}", "–", ""))
    return lines


FOOTPRINTS.update({"34": wrong_keys, "35": fairness})
