"""triggers tail: the log from a position on, what comes after, and where it ends."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time

import pytest

from support.network import wait_until
from support.program import clean_environment, program_path, run


def printed(program):
    return [event["sequence"] for event in program.log]


def create_many(rpc, count, source="crm", event_type="lead"):
    return [rpc.create(source, event_type, b"{}").event_id for _ in range(count)]


def tail(core, folder, *options):
    """What `tail --no-follow` prints."""
    done = run("triggers", "tail", "--no-follow", *options, folder=folder, TRIGGERS_CORE=core.url)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def sequences(events):
    return [event["sequence"] for event in events]


@pytest.fixture(scope="module")
def filled(core, rpc):
    """The module's core, with 25 events, of which every third is acknowledged, and their ids."""
    ids = []
    for number in range(25):
        ids += create_many(rpc, 1, f"s{number % 2}", "lead.won" if number % 5 else "lead.lost")
    rpc.event("BatchAckEvents", event_ids=ids[::3])
    return core, ids


def test_the_log_has_every_event_in_order(filled, tmp_path):
    core, ids = filled
    events = tail(core, tmp_path, "--after", "0")
    assert [event["event_id"] for event in events] == ids
    assert sequences(events) == list(range(1, 26))
    assert [event["status"] for event in events[:4]] == ["acknowledged", *["pending"] * 2, "acknowledged"]


@pytest.mark.parametrize(
    "options, expected",
    [
        ([], range(16, 26)),
        (["--last", "3"], range(23, 26)),
        (["--last", "0"], []),
        (["--last", "10000"], range(1, 26)),
        (["--after", "20"], range(21, 26)),
        (["--after", "25"], []),
        (["--after", "1000"], []),
        (["--after", "20", "--limit", "2"], [21, 22]),
        (["--since", "1h"], range(1, 26)),
        (["--until", "1h", "--after", "0"], []),
        (["--source", "s1", "--last", "3"], [20, 22, 24]),
        (["--source", "s1", "--after", "0"], range(2, 25, 2)),
        (["--event-type", "lead.l*", "--after", "0"], [1, 6, 11, 16, 21]),
        (["--event-type", "lead.lost", "--event-type", "lead.w*", "--last", "2"], [24, 25]),
        (["--source", "nobody"], []),
    ],
    ids=lambda value: " ".join(map(str, value))[:40],
)
def test_where_it_starts_and_what_it_prints(filled, tmp_path, options, expected):
    assert sequences(tail(filled[0], tmp_path, *options)) == list(expected)


def test_times_are_those_of_the_events(filled, tmp_path):
    core, _ = filled
    events = tail(core, tmp_path, "--after", "0")
    begin, end = events[9]["created_at"], events[19]["created_at"]
    assert sequences(tail(core, tmp_path, "--since", begin, "--until", end)) == list(range(10, 20))
    assert sequences(tail(core, tmp_path, "--since", begin.replace("Z", "+00:00"))) == list(range(10, 26))
    day = begin[:10]
    assert len(tail(core, tmp_path, "--since", day)) == 25


def test_lines_for_people(filled, tmp_path):
    core, ids = filled
    words = ("tail", "--no-follow", "--last", "2", "--output", "table")
    done = run("triggers", *words, folder=tmp_path, TRIGGERS_CORE=core.url)
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["EVENT", "ID", "SEQUENCE", "CREATED", "SOURCE", "TYPE", "PAYLOAD"]
    assert [row.split()[:2] for row in rows] == [[ids[23], "24"], [ids[24], "25"]]


def test_until_does_not_wait(filled, tmp_path):
    core, _ = filled
    words = ("tail", "--until", "1h")
    assert run("triggers", *words, folder=tmp_path, TRIGGERS_CORE=core.url).returncode == 0


def test_many_pages(start_core, tmp_path):
    core = start_core()
    stdin = b'{"source":"s","event_type":"t","payload":{}}\n' * 2600
    assert run("triggers", "create", "--ndjson", folder=tmp_path, stdin=stdin, TRIGGERS_CORE=core.url)
    assert sequences(tail(core, tmp_path, "--after", "0")) == list(range(1, 2601))
    assert sequences(tail(core, tmp_path, "--last", "1500")) == list(range(1101, 2601))


def test_it_follows_and_says_where_to_continue(start_core, follow):
    core = start_core()
    with core.client() as rpc:
        create_many(rpc, 12)
        tailing = follow(core, "tail")
        wait_until(lambda: printed(tailing) == list(range(3, 13)), "the last ten")
        create_many(rpc, 3)
        wait_until(lambda: printed(tailing) == list(range(3, 16)), "what came")
        tailing.terminate()
        assert tailing.wait() == 0
        assert tailing.stderr == ["triggers: to continue from here: --after 15"]
        create_many(rpc, 2)
        tailing = follow(core, "tail", "--after", "15", "--limit", "2")
        assert tailing.wait() == 0 and printed(tailing) == [16, 17]


def test_what_comes_is_printed_when_it_comes(start_core, follow):
    """Not at the next of many questions: the core answers when there is something."""
    core = start_core()
    tailing = follow(core, "tail", "--after", "0")
    with core.client() as rpc:
        start = time.monotonic()
        for count in range(1, 31):
            create_many(rpc, 1)
            wait_until(lambda: len(tailing.stdout) == count, f"event {count}", interval=0.002)
        assert time.monotonic() - start < 10
    asked = sum("ListEvents" in line for line in core.output)
    assert 1 < asked <= 2 * 31, f"{asked} calls for 30 events"


def test_a_position_passes_what_the_filter_leaves_out(start_core, follow):
    """So that a follower that was interrupted need not read all of it again."""
    core = start_core()
    with core.client() as rpc:
        create_many(rpc, 2, "crm")
        create_many(rpc, 30, "shop")
        tailing = follow(core, "tail", "--after", "0", "--source", "crm")
        wait_until(lambda: printed(tailing) == [1, 2], "what passes the filter")
        create_many(rpc, 1, "crm")
        wait_until(lambda: printed(tailing) == [1, 2, 33], "what came")
        create_many(rpc, 1, "shop")
        tailing.process.send_signal(signal.SIGINT)
        assert tailing.wait() == 0
        assert tailing.stderr[0].endswith(("--after 33", "--after 34"))


def test_an_interrupt_in_the_middle_of_a_page(start_core, tmp_path):
    """Who reads gets whole lines up to the position that is told, and none after it."""
    core = start_core()
    line = b'{"source":"s","event_type":"t","payload":{"text":"%s"}}\n' % (b"x" * 2000)
    assert run("triggers", "create", "--ndjson", folder=tmp_path, stdin=line * 900, TRIGGERS_CORE=core.url)
    with subprocess.Popen(
        [program_path("triggers"), "tail", "--after", "0"],
        env=clean_environment(tmp_path / "tail", {"TRIGGERS_CORE": core.url}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest, told = process.stdout.read(), process.stderr.read()
        assert process.wait() == 0
    events = [json.loads(text) for text in (first + rest).splitlines()]
    assert sequences(events) == list(range(1, len(events) + 1))
    assert told.decode().endswith(f"--after {len(events)}\n")
    assert len(events) < 900


def test_a_second_signal_ends_a_tail_that_nobody_reads(start_core, tmp_path):
    core = start_core()
    line = b'{"source":"s","event_type":"t","payload":{"text":"%s"}}\n' % (b"x" * 2000)
    assert run("triggers", "create", "--ndjson", folder=tmp_path, stdin=line * 900, TRIGGERS_CORE=core.url)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as output:
        process = subprocess.Popen(
            [program_path("triggers"), "tail", "--after", "0"],
            env=clean_environment(tmp_path / "tail", {"TRIGGERS_CORE": core.url}),
            stdout=writer,
        )
        os.close(writer)
        output.readline()
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: process.poll() is not None or process.send_signal(signal.SIGTERM), "the end")
        assert process.returncode in (-signal.SIGTERM, 0)


def forget_blocks(store_url, first):
    """Lets the log of an SQLite core begin with a later block, as retention does."""
    with contextlib.closing(sqlite3.connect(store_url.removeprefix("sqlite:///"))) as database:
        database.execute("delete from blocks where block < ?", (first,))
        database.commit()


def test_a_position_whose_events_were_removed(start_core, follow, tmp_path):
    """Never a silent jump: it says what is there, and how to go on."""
    url = f"sqlite:///{tmp_path / 'triggers.db'}"
    core = start_core(DATABASE_URL=url)
    stdin = b'{"source":"s","event_type":"t","payload":{}}\n' * 600
    assert run("triggers", "create", "--ndjson", folder=tmp_path, stdin=stdin, TRIGGERS_CORE=core.url)
    forget_blocks(url, 1)
    for words in (["tail", "--after", "254"], ["inbox", "--follow", "--after", "1"]):
        done = run("triggers", *words, folder=tmp_path, TRIGGERS_CORE=core.url)
        assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
        assert "256 (POSITION_REMOVED)" in done.stderr and done.stderr.endswith("--after 255\n")
    for options in (["--after", "0"], ["--after", "255"], ["--last", "10000"]):
        assert sequences(tail(core, tmp_path, *options)) == list(range(256, 601))
    pending = follow(core, "inbox", "--follow", "--limit", "601")
    wait_until(lambda: len(printed(pending)) == 600, "what is pending, before the beginning too")
    with core.client() as rpc:
        create_many(rpc, 1)
    assert pending.wait() == 0 and printed(pending) == list(range(1, 602))
