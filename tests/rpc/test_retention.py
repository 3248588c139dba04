"""Events are removed when they are old enough, from the old end of the log, and what reads the log is told."""

import contextlib
import os
import sqlite3

import pytest

from support.metrics import Metrics
from support.network import wait_until
from support.program import Program, program_path
from support.protocol import events, stats
from support.rpc import GET_STATS, decode, fails

BLOCK = 256


def metrics(rpc):
    answer = decode(rpc.call(GET_STATS, stats.GetStatsRequest()), stats.GetStatsResponse)
    return Metrics(answer.text)


def removed(rpc, state):
    return metrics(rpc).value("triggers_core_events_removed_total", state=state)


def fill(rpc, count, payload=b"{}"):
    """Creates events; returns their ids."""
    ids = []
    while len(ids) < count:
        size = min(count - len(ids), 1000, max(1, 4_000_000 // len(payload)))
        item = events.CreateEventRequest(source="crm", event_type="lead", payload=payload)
        results = rpc.event("BatchCreateEvents", events=[item] * size).results
        ids += [result.created.event_id for result in results]
    return ids


def acknowledge(rpc, ids):
    for first in range(0, len(ids), 1000):
        rpc.event("BatchAckEvents", event_ids=ids[first : first + 1000])


def first_sequence(rpc):
    return rpc.event("ListEvents").first_sequence


@pytest.fixture
def kept(start_core, new_store_url):
    """Starts a core on the test's store that keeps events for some time."""
    url = new_store_url()

    def start(**keep):
        settings = {f"TRIGGERS_KEEP_{name.upper()}": value for name, value in keep.items()}
        return start_core(DATABASE_URL=url, **settings)

    start.url = url
    return start


def test_acknowledged_events_go_and_pending_ones_stay(kept):
    core = kept(acknowledged="2s")
    with core.client() as rpc:
        ids = fill(rpc, 10 * BLOCK)
        single = ids[700]
        acknowledge(rpc, [event_id for event_id in ids if event_id != single])
        wait_until(lambda: first_sequence(rpc) == 9 * BLOCK, "the log is short")
        assert removed(rpc, "acknowledged") == 9 * BLOCK - 2 and removed(rpc, "pending") == 0
        assert metrics(rpc).value("triggers_core_log_first_sequence") == 9 * BLOCK
        assert metrics(rpc).value("triggers_core_last_removal_timestamp_seconds") > 1e9
        fails("NOT_FOUND", rpc.event, "GetEvent", event_id=ids[0])
        assert rpc.event("GetEvent", event_id=single).event.sequence == 701
        assert [event.event_id for event in rpc.event("ListInbox").events] == [single]
        for position in (1, 701, 9 * BLOCK - 2):
            error = fails("OUT_OF_RANGE", rpc.event, "ListEvents", after_sequence=position)
            assert error.response.details.first_sequence == 9 * BLOCK
        for position in (0, 9 * BLOCK - 1):
            page = rpc.event("ListEvents", after_sequence=position)
            assert page.events[0].sequence == 9 * BLOCK
        assert rpc.create().sequence == 10 * BLOCK + 1
        acknowledge(rpc, [single])
        wait_until(lambda: removed(rpc, "acknowledged") == 9 * BLOCK - 1, "the single one is gone")
        assert not rpc.event("ListInbox").events[1:]
    assert any("removed old events" in line for line in core.output)


def test_pending_events_go_when_that_is_wished(kept):
    with kept(acknowledged="1s", pending="3s").client() as rpc:
        ids = fill(rpc, 4 * BLOCK)
        acknowledge(rpc, ids[:100])
        wait_until(lambda: removed(rpc, "pending") == 3 * BLOCK - 101, "pending ones are gone")
        assert removed(rpc, "acknowledged") == 100
        assert first_sequence(rpc) == 3 * BLOCK


def test_everything_stays_by_default(kept):
    with kept().client() as rpc:
        ids = fill(rpc, 3 * BLOCK)
        acknowledge(rpc, ids)
        wait_until(lambda: metrics(rpc).has("triggers_core_log_first_sequence"), "it has looked")
        assert first_sequence(rpc) == 1 and removed(rpc, "acknowledged") == 0


def test_it_goes_on_after_a_restart(kept):
    core = kept()
    with core.client() as rpc:
        acknowledge(rpc, fill(rpc, 5 * BLOCK))
    core.stop()
    with kept(acknowledged="1s").client() as rpc:
        wait_until(lambda: first_sequence(rpc) == 4 * BLOCK, "the log is short")
        assert rpc.create().sequence == 5 * BLOCK + 1


def test_two_cores_remove_together(kept, store_name):
    if store_name == "sqlite":
        pytest.skip("one core a file")
    with kept(acknowledged="1s").client() as one, kept(acknowledged="1s").client() as other:
        acknowledge(one, fill(one, 40 * BLOCK))
        wait_until(lambda: first_sequence(other) == 39 * BLOCK, "the log is short")
        wait_until(
            lambda: (
                removed(one, "acknowledged") + removed(other, "acknowledged") == 39 * BLOCK - 1
            ),
            "each event is counted once",
        )


def test_a_follower_at_the_end_sees_everything(kept):
    """What it has read already is removed while it reads on."""
    with kept(acknowledged="1s").client() as rpc:
        position, seen, count = 0, [], 0
        while first_sequence(rpc) < 20 * BLOCK:
            ids = fill(rpc, 500)
            count += 500
            while position < count:
                page = rpc.event("ListEvents", after_sequence=position, page_size=1000, wait_ms=5000)
                seen += [event.sequence for event in page.events]
                position = page.next_after
            acknowledge(rpc, ids)
        assert seen == list(range(1, count + 1))


def test_a_subscription_that_was_too_slow_goes_on_and_the_log_says_so(kept):
    core = kept(acknowledged="1s")
    with core.client() as rpc:
        rpc.subscription("PutSubscription", "slow", start="earliest")
        pull = lambda: rpc.subscription("Pull", "slow", max_events=1).deliveries  # noqa: E731
        ids = fill(rpc, 3 * BLOCK)
        [first] = pull()
        acknowledge(rpc, ids)
        wait_until(lambda: first_sequence(rpc) == 2 * BLOCK, "the log is short")
        warning = "the log begins after a subscription's position"
        assert not any(warning in line for line in core.output)
        [second] = pull()
        assert (first.event.sequence, second.event.sequence) == (1, 2 * BLOCK)
        assert "slow" in core.wait_for_line(warning)
        [result] = rpc.subscription("Ack", "slow", ack_ids=[first.ack_id]).results
        assert not result.HasField("error")


def test_the_file_of_sqlite_becomes_shorter(kept, store_name):
    if store_name != "sqlite":
        pytest.skip("PostgreSQL uses the space again")
    path = kept.url.removeprefix("sqlite:///")
    core = kept()
    with core.client() as rpc:
        acknowledge(rpc, fill(rpc, 20 * BLOCK, b'{"a":"' + b"x" * 4000 + b'"}'))
    core.stop()
    before = os.path.getsize(path)
    core = kept(acknowledged="1s")
    with core.client() as rpc:
        wait_until(lambda: first_sequence(rpc) == 19 * BLOCK, "the log is short")

        def pages():
            with contextlib.closing(sqlite3.connect(path)) as db:
                (count,) = db.execute("pragma page_count").fetchone()
                (free,) = db.execute("pragma freelist_count").fetchone()
            return count, free

        wait_until(lambda: pages()[1] <= pages()[0] / 10 + 1, "free pages are given back")
    core.stop()
    assert os.path.getsize(path) < before / 5


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"TRIGGERS_KEEP_PENDING": "1d"}, "TRIGGERS_KEEP_PENDING needs"),
        (
            {"TRIGGERS_KEEP_PENDING": "1d", "TRIGGERS_KEEP_ACKNOWLEDGED": "25h"},
            "at least as long",
        ),
        ({"TRIGGERS_KEEP_ACKNOWLEDGED": "30"}, "such as 12h or 30d"),
        ({"TRIGGERS_KEEP_ACKNOWLEDGED": "0d"}, "such as 12h or 30d"),
        ({"TRIGGERS_KEEP_ACKNOWLEDGED": "-1d"}, "such as 12h or 30d"),
        ({"TRIGGERS_KEEP_ACKNOWLEDGED": "1dd"}, "such as 12h or 30d"),
        ({"TRIGGERS_KEEP_ACKNOWLEDGED": "36526d"}, "such as 12h or 30d"),
        ({"TRIGGERS_KEEP_ACKNOWLEDGED": "9" * 30 + "s"}, "such as 12h or 30d"),
    ],
)
def test_wrong_durations(settings, text, tmp_path):
    url = f"sqlite:///{tmp_path / 'triggers.db'}"
    core = Program([program_path("triggersd")], tmp_path, DATABASE_URL=url, **settings)
    assert core.wait() == 2
    assert text in "\n".join(core.stderr + core.stdout)
