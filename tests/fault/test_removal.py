"""The core and PostgreSQL are killed again and again while old events are removed, under creates,
acknowledgements and a follower: the log has no gap after its beginning, what is pending stays, removal goes
on, and nothing of what was removed is left behind."""

import contextlib
import itertools
import random
import sqlite3
import threading
import time

import pytest

from support.ledger import microseconds, payload_of, read_everything, read_page
from support.load import PASSING, Load
from support.metrics import Metrics
from support.network import wait_until
from support.protocol import events, stats
from support.rpc import GET_STATS, BareClient, RpcError, decode
from support.typeid import new_event_id

BLOCK = 256
KEEP = {"TRIGGERS_KEEP_ACKNOWLEDGED": "1s", "TRIGGERS_KEEP_PENDING": "1h"}
COUNTED_BLOCKS = 200  # of more, the metric is an estimate
PENDING_EVERY = 50  # so many events, one is not acknowledged, or only later
LEFT_BEHIND = """count(*) from pending p where not exists (
    select 1 from events e
    where e.{sequence} between p.block * 256 and p.block * 256 + 255 and (p.kind = 0 or e.kind = p.kind)
        and not exists (select 1 from acknowledged a where a.{sequence} = e.{sequence}))"""

numbers = itertools.count()


class Follower(threading.Thread):
    """Reads the log along. `found` are the sequences, in order; what was removed before it came there was
    told, and is in `holes` as ranges."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url = url
        self.found = []
        self.holes = []
        self.last = None

    def run(self):
        after = 0
        with BareClient(self.url) as rpc:
            while self.last is None or after < self.last:
                try:
                    page = rpc.event("ListEvents", after_sequence=after, page_size=1000, wait_ms=1000)
                except OSError:
                    continue
                except RpcError as error:
                    assert error.code in PASSING or error.reason == "POSITION_REMOVED", error
                    if error.reason == "POSITION_REMOVED":
                        first = error.details.first_sequence
                        self.holes.append(range(after + 1, first))
                        after = first - 1
                    continue
                self.found += [event.sequence for event in page.events]
                after = page.next_after

    def finish(self, last):
        """Waits until it has read up to `last`: each event came once, in order, or was told to be gone."""
        self.last = last
        self.join(60)
        assert not self.is_alive(), f"{self.found[-1:]} of {last}"
        assert self.found == sorted(set(self.found))
        assert sorted([*self.found, *itertools.chain(*self.holes)]) == list(range(1, last + 1))


@pytest.fixture
def server(store_name, request):
    """The test's own PostgreSQL server; None with SQLite."""
    return request.getfixturevalue("own_postgres") if store_name == "postgresql" else None


@pytest.fixture
def url(server, tmp_path):
    return server.create_database() if server else f"sqlite:///{tmp_path / 'triggers.db'}"


@pytest.fixture
def number_of(server, url):
    """number_of(what): what a query of the database gives, in which {sequence} is that of an event."""

    def ask(what):
        sql = "select " + what.replace("{sequence}", "sequence" if server else "position")
        if server:
            return int(server.psql(f"set search_path = triggers; {sql}", url.rsplit("/", 1)[1]))
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as store:
            return store.execute(sql).fetchone()[0]

    return ask


def pending_events(rpc):
    answer = decode(rpc.call(GET_STATS, stats.GetStatsRequest()), stats.GetStatsResponse)
    return Metrics(answer.text).value("triggers_core_pending_events")


def create_many(rpc, ledger, size):
    """Creates events and acknowledges all but a few; returns those."""
    markers = [f"b{next(numbers)}" for _ in range(size)]
    entries = [
        ledger.sent(marker, "crm", "deal", payload_of(marker), new_event_id()) for marker in markers
    ]
    items = [
        events.CreateEventRequest(
            event_id=entry.event_id, source="crm", event_type="deal", payload=entry.payload
        )
        for entry in entries
    ]
    for entry, result in zip(entries, rpc.event("BatchCreateEvents", events=items).results, strict=True):
        ledger.created(entry, result.created.event_id, microseconds(result.created.created_at))
    acknowledge(rpc, ledger, [entry for i, entry in enumerate(entries) if i % PENDING_EVERY])
    return entries[::PENDING_EVERY]


def acknowledge(rpc, ledger, entries):
    for entry in entries:
        ledger.ack_sent(entry)
    results = rpc.event("BatchAckEvents", event_ids=[entry.event_id for entry in entries]).results
    for entry, result in zip(entries, results, strict=True):
        ledger.acknowledged(entry, microseconds(result.acknowledged.acknowledged_at))


def first_sequence(rpc):
    return read_page(rpc, "ListEvents", page_size=1).first_sequence


def test_removal_goes_on_after_any_end(
    server, url, number_of, start_core, fixed_address, crash, ledger, kept, told, pick
):
    """In each round the log's beginning moves, and then in the middle of that, or after it, is the end."""
    rounds = pick(6, 60)
    chance = random.Random()
    settings = {**fixed_address, **KEEP, "DATABASE_URL": url, "LOG_LEVEL": "warning"}
    core = start_core(**settings)
    follower = Follower(core.url)
    follower.start()
    with BareClient(core.url) as rpc:
        late = create_many(rpc, ledger, 1000)  # acknowledged when the events around them are gone
    with Load(ledger, core.url, 2, client=BareClient, removes=True) as load:
        for number in range(rounds):
            with BareClient(core.url) as rpc:
                before = first_sequence(rpc)
                acknowledge(rpc, ledger, late[::2])
                late = [entry for _ in range(4) for entry in create_many(rpc, ledger, 1000)]
                load.wait_for_creates(20)
                wait_until(lambda: first_sequence(rpc) > before, "removal", 60, 0.005)
                time.sleep(chance.random() * 0.2)  # the moment of the crash is any
            if server and number % 6 == 1:
                server.kill()
                server.start()
                with BareClient(core.url) as rpc:
                    wait_until(rpc.serving, "serving again")
            else:
                crash(core)
                core = start_core(**settings)
    last = number_of("max({sequence}) from events")
    first = BLOCK * ((last + 1) // BLOCK - 1)
    with BareClient(core.url) as rpc:
        while (before := first_sequence(rpc)) != first:
            wait_until(lambda: first_sequence(rpc) > before, "removal that goes on", 60)
        singles = f"count(*) from acknowledged where {{sequence}} < {first}"
        wait_until(lambda: number_of(singles) == 0, "no acknowledged event before it", 60)
        wait_until(lambda: number_of(LEFT_BEHIND) == 0, "no row that was left behind", 60)
        stored, _ = read_everything(rpc)
        removed = last - len(stored)
        kept(core, f"{rounds} ends while {removed} of {last} events were removed", removes=True)
        assert len(stored) == number_of("count(*) from events")
        pending = [event for event in stored.values() if event.status == events.EVENT_STATUS_PENDING]
        blocks = number_of("count(*) from pending where kind = 0")
        if blocks < COUNTED_BLOCKS:
            wait_until(lambda: pending_events(rpc) == len(pending), "the count of pending events")
    follower.finish(last)
    told(f"a follower has read {len(follower.found)}, in {len(follower.holes)} holes it was told the rest")
    assert len(follower.found) > last / 2
