"""triggers consume: what is printed, acknowledged and given back, what commands get and say, and what is
left when consumers or the core end while they work. And the dead letters that come of it."""

import json
import signal
import subprocess
from collections import Counter
from urllib.parse import urlsplit

import pytest

from support.network import free_port, wait_until
from support.program import program_path, run, without_settings
from support.proxy import FaultProxy

NAME = "work"


@pytest.fixture
def new_core(start_core, new_store_url):
    """new_core(**settings): a core with an empty store of each kind."""
    return lambda **settings: start_core(**{"DATABASE_URL": new_store_url(), **settings})


def triggers(core, folder, *words, status=0, deadline=60.0):
    """What a command prints as JSON lines, and its CompletedProcess."""
    done = run("triggers", *words, folder=folder, deadline=deadline, TRIGGERS_CORE=core.url)
    assert done.returncode == status, (words, done.returncode, done.stderr)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return lines, done


@pytest.fixture
def work(new_core, tmp_path):
    """A core with a subscription whose failed events come again at once, and its commands."""

    class Work:
        core = new_core()

        def call(self, *words, **options):
            return triggers(self.core, tmp_path, *words, **options)

        def subscribe(self, *options):
            quick = ("--backoff-min", "0", "--backoff-max", "0", "--start", "earliest")
            return self.call("subscriptions", "create", NAME, *quick, *options)

        def create(self, count, start=0):
            with self.core.client() as rpc:
                for number in range(start, start + count):
                    rpc.create("crm", "lead", b'{"number": %d}' % number)

        def look(self):
            return self.call("subscriptions", "get", NAME)[0][0]

        def told(self, *words, **options):
            """The line that tells how many had which end."""
            return self.call("consume", NAME, *words, **options)[1].stderr.splitlines()[-1]

    return Work()


def sequences(events):
    return [event["sequence"] for event in events]


def script(folder, text):
    """A file that `sh` runs, as --exec takes one line."""
    path = folder / "command.sh"
    path.write_text(text)
    return f"sh {path}"


def lines_of(path):
    return path.read_text().split() if path.exists() else []


# ---- printing ----


def test_what_is_only_printed_is_given_back(work):
    work.subscribe()
    work.create(5)
    for _ in range(2):
        events, done = work.call("consume", NAME, "--no-wait")
        assert sequences(events) == [1, 2, 3, 4, 5]
        assert {event["delivery_attempt"] for event in events} == {1}
        assert len({event["ack_id"] for event in events}) == 5
        assert all(event["lease_expires_at"] > event["created_at"] for event in events)
        assert done.stderr == "triggers: 0 acknowledged, 0 failed, 5 given back, 0 lost\n"
    assert sequences(work.call("consume", NAME, "--max", "2")[0]) == [1, 2]


def test_what_is_kept_is_nobody_elses_meanwhile(work, follow):
    """And what is given back at the end does not go to the pull that the ending consumer had waiting."""
    work.subscribe("--lease", "1")
    work.create(3)
    keeping = follow(work.core, "consume", NAME)
    wait_until(lambda: len(keeping.log) == 3, "what is printed")
    work.create(1)
    wait_until(lambda: len(keeping.log) == 4, "what comes")
    wait_until(lambda: work.look()["outstanding"] == 4, "all are out")
    assert work.call("consume", NAME, "--no-wait")[0] == []
    keeping.terminate()
    assert keeping.wait() == 0 and sequences(keeping.log) == [1, 2, 3, 4]
    assert sequences(work.call("consume", NAME, "--no-wait", "--ack")[0]) == [1, 2, 3, 4]


def test_what_is_printed_with_ack_is_done(work):
    work.subscribe()
    work.create(250)
    events, done = work.call("consume", NAME, "--ack", "--max", "210")
    assert sequences(events) == list(range(1, 211))
    assert done.stderr == "triggers: 210 acknowledged, 0 failed, 0 given back, 0 lost\n"
    assert sequences(work.call("consume", NAME, "--ack", "--no-wait")[0]) == list(range(211, 251))
    assert work.look()["oldest_unsettled_at"] is None


def test_lines_for_people(work):
    work.subscribe()
    work.create(1)
    shown = work.call("consume", NAME, "--ack", "--no-wait", "--output", "table")[1].stdout
    header, row = shown.splitlines()
    assert header.startswith("EVENT ID") and row.split()[1] == "1"


def test_what_cannot_be_written_is_given_back(work, tmp_path):
    work.subscribe()
    work.create(20)
    done = subprocess.run(
        ["sh", "-c", f"{program_path('triggers')} consume {NAME} --ack >/dev/full"],
        env={**without_settings(), "TRIGGERS_CORE": work.core.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "cannot write" in done.stderr
    assert " 0 acknowledged" in done.stderr
    assert len(work.call("consume", NAME, "--no-wait")[0]) == 20


def test_no_such_subscription(work):
    for words in (["consume", "nobody"], ["dead-letters", "nobody"], ["seek", "nobody", "latest"]):
        done = work.call(*words, status=3)[1]
        assert done.stdout == "" and done.stderr.count("\n") == 1


def test_a_subscription_that_is_removed_ends_its_consumer(work, follow):
    work.subscribe()
    work.create(1)
    consuming = follow(work.core, "consume", NAME, "--ack")
    wait_until(lambda: len(consuming.log) == 1, "an event")
    work.call("subscriptions", "delete", NAME)
    work.create(1)
    assert consuming.wait() == 3
    assert "NOT_FOUND" in consuming.stderr[-1]


# ---- commands ----


def test_a_command_gets_the_event(work, tmp_path):
    work.subscribe()
    (created,), _ = work.call("create", "crm", "lead", '{"name": "Ada"}')
    command = "cat; echo; env | grep -E '^TRIGGERS_(EVENT|SUBSCRIPTION|DELIVERY|ACK|LEASE)' | sort"
    shown = work.call("consume", NAME, "--no-wait", "--exec", command)[1].stdout
    payload, *rest = shown.splitlines()
    assert payload == '{"name": "Ada"}'
    variables = dict(line.split("=", 1) for line in rest)
    assert variables.pop("TRIGGERS_ACK_ID") and variables.pop("TRIGGERS_LEASE_EXPIRES_AT")
    assert variables == {
        "TRIGGERS_EVENT_ID": created["event_id"],
        "TRIGGERS_EVENT_SEQUENCE": "1",
        "TRIGGERS_EVENT_SOURCE": "crm",
        "TRIGGERS_EVENT_TYPE": "lead",
        "TRIGGERS_EVENT_CREATED_AT": created["created_at"],
        "TRIGGERS_SUBSCRIPTION": NAME,
        "TRIGGERS_DELIVERY_ATTEMPT": "1",
    }


def test_a_large_payload_that_is_not_read_is_no_failure(work):
    work.subscribe()
    with work.core.client() as rpc:
        rpc.create("crm", "lead", b'{"text": "%s"}' % (b"x" * 200_000))
    assert " 1 acknowledged" in work.told("--no-wait", "--exec", "true")
    work.call("seek", NAME, "earliest")
    shown = work.call("consume", NAME, "--no-wait", "--exec", "wc -c")[1].stdout
    assert shown.split() == ["200012"]


def test_what_exit_statuses_do(work, tmp_path):
    work.subscribe("--max-attempts", "2")
    work.create(4)
    command = "case $TRIGGERS_EVENT_SEQUENCE in 2) exit 7;; 3) kill -9 $$;; "
    command += '4) test "$TRIGGERS_DELIVERY_ATTEMPT" = 2;; esac'
    assert work.told("--no-wait", "--exec", command, status=1) == (
        "triggers: 2 acknowledged, 5 failed, 0 given back, 0 lost"
    )
    letters, _ = work.call("dead-letters", NAME)
    reasons = {letter["sequence"]: letter["reason"] for letter in letters}
    assert reasons == {2: "exit status 7", 3: "killed by signal 9"}
    assert {letter["delivery_attempts"] for letter in letters} == {2}
    assert all(letter["first_delivered_at"] < letter["dead_at"] for letter in letters)


def test_commands_run_at_once_and_no_more_is_pulled(work, tmp_path, follow):
    """Each waits until three run, so two at once would not end; and nothing is held besides."""
    work.subscribe()
    work.create(8)
    go = tmp_path / "go"
    command = script(
        tmp_path,
        f"echo $TRIGGERS_EVENT_SEQUENCE >> {tmp_path}/began; while [ ! -e {go} ]; do sleep 0.02; done",
    )
    consuming = follow(work.core, "consume", NAME, "--concurrency", "3", "--no-wait", "--exec", command)
    wait_until(lambda: len(lines_of(tmp_path / "began")) == 3, "three commands")
    seen = work.look()
    assert (seen["outstanding"], seen["backlog"]) == (3, 5)
    go.touch()
    assert consuming.wait() == 0
    assert sorted(lines_of(tmp_path / "began")) == list("12345678")


def test_leases_are_extended_while_a_command_runs(work, tmp_path, follow):
    work.subscribe("--lease", "1")
    work.create(1)
    consuming = follow(work.core, "consume", NAME, "--no-wait", "--exec", "sleep 3")
    wait_until(lambda: work.look()["outstanding"] == 1, "a command that runs")
    assert work.told("--no-wait", "--ack").startswith("triggers: 0 acknowledged")
    assert consuming.wait() == 0
    assert consuming.stderr == ["triggers: 1 acknowledged, 0 failed, 0 given back, 0 lost"]


def test_a_command_whose_lease_is_lost_is_told(work, tmp_path, follow):
    work.subscribe("--lease", "1")
    work.create(1)
    command = script(
        tmp_path,
        f"trap 'echo told >> {tmp_path}/told; exit 0' TERM; echo x >> {tmp_path}/began\n"
        "[ $(wc -l < %s/began) -gt 1 ] || while :; do sleep 0.05; done" % tmp_path,
    )
    consuming = follow(work.core, "consume", NAME, "--max", "2", "--exec", command)
    wait_until(lambda: lines_of(tmp_path / "began"), "a command that runs")
    work.call("seek", NAME, "earliest")
    assert consuming.wait() == 1
    assert lines_of(tmp_path / "told") == ["told"]
    assert "triggers: 1 acknowledged, 0 failed, 0 given back, 1 lost" in consuming.stderr  # beside the shell's "Terminated"
    assert any("(LEASE_LOST)" in line for line in consuming.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupt_lets_commands_finish(work, tmp_path, follow, number):
    work.subscribe()
    work.create(3)
    go = tmp_path / "go"
    command = f"echo x >> {tmp_path}/began; while [ ! -e {go} ]; do sleep 0.02; done"
    consuming = follow(work.core, "consume", NAME, "--exec", command)
    wait_until(lambda: lines_of(tmp_path / "began"), "a command that runs")
    consuming.process.send_signal(number)
    work.call("subscriptions", "get", NAME)
    assert consuming.running
    go.touch()
    assert consuming.wait() == 0
    assert consuming.stderr == ["triggers: 1 acknowledged, 0 failed, 0 given back, 0 lost"]
    assert lines_of(tmp_path / "began") == ["x"]


def test_a_consumer_that_waits_ends_at_once(work, follow):
    """The pull that the core holds does not hold the end up, and takes nothing after it."""
    work.subscribe()
    consuming = follow(work.core, "consume", NAME, "--ack")
    work.create(1)
    wait_until(lambda: len(consuming.log) == 1, "an event")
    consuming.terminate()
    assert consuming.wait(5) == 0
    work.create(1)
    assert sequences(work.call("consume", NAME, "--ack", "--no-wait")[0]) == [2]


# ---- ends that nobody planned ----


def test_two_consumers_one_of_which_is_killed(work, tmp_path, follow):
    """Every event is handled, and again only what the killed one had: what ran, and what it had not
    said yet."""
    work.subscribe("--lease", "1")
    handled = tmp_path / "handled"
    command = f"sleep 0.02; echo $TRIGGERS_EVENT_SEQUENCE >> {handled}"
    words = ("consume", NAME, "--concurrency", "4", "--exec", command)
    first, second = (follow(work.core, *words) for _ in range(2))
    work.create(60)
    wait_until(lambda: len(lines_of(handled)) > 20, "some work")
    first.kill()
    work.create(60, start=60)
    everything = {str(number) for number in range(1, 121)}
    wait_until(lambda: set(lines_of(handled)) == everything, "all of it")
    wait_until(lambda: work.look()["oldest_unsettled_at"] is None, "all is settled")
    second.terminate()
    assert second.wait() == 0
    again = {number: count for number, count in Counter(lines_of(handled)).items() if count > 1}
    assert len(again) <= 8 and set(again.values()) <= {2}, again
    assert work.call("dead-letters", NAME)[0] == []


def test_a_core_that_is_killed_and_started_again(start_core, new_store_url, tmp_path, follow):
    settings = {"TRIGGERS_LISTEN": f"ws://127.0.0.1:{free_port()}/rpc", "DATABASE_URL": new_store_url()}
    core = start_core(**settings)
    triggers(core, tmp_path, "subscriptions", "create", NAME, "--lease", "2", "--backoff-max", "1")
    handled = tmp_path / "handled"
    command = f"sleep 0.05; echo $TRIGGERS_EVENT_SEQUENCE >> {handled}"
    consuming = follow(core, "--timeout", "2", "consume", NAME, "--concurrency", "4", "--exec", command)
    printing = follow(core, "--timeout", "2", "consume", "inbox", "--ack")
    with core.client() as rpc:
        for _ in range(50):
            rpc.create()
    wait_until(lambda: len(lines_of(handled)) > 10, "some work")
    core.kill()
    wait_until(lambda: consuming.stderr and printing.stderr, "a word about the core")
    core = start_core(**settings)
    with core.client() as rpc:
        for _ in range(50):
            rpc.create()
    wait_until(lambda: {int(line) for line in lines_of(handled)} == set(range(1, 101)), "all of it")
    wait_until(lambda: set(sequences(printing.log)) == set(range(1, 101)), "all of it")
    for consumer in (consuming, printing):
        consumer.terminate()
        assert consumer.wait() == 0, consumer.describe()


def test_a_consumer_that_is_stopped_without_a_core_ends(work, tmp_path, follow):
    """It says what it could not settle, after some seconds in which the core might have come back."""
    work.subscribe()
    work.create(3)
    go = tmp_path / "go"
    command = f"echo x >> {tmp_path}/began; while [ ! -e {go} ]; do sleep 0.02; done"
    consuming = follow(work.core, "--timeout", "2", "consume", NAME, "--concurrency", "2", "--exec", command)
    wait_until(lambda: lines_of(tmp_path / "began") == ["x", "x"], "commands that run")
    work.core.kill()
    consuming.terminate()
    go.touch()
    assert consuming.wait() == 0
    assert consuming.stderr[-1] == "triggers: 0 acknowledged, 0 failed, 0 given back, 2 lost"


def test_the_answer_to_a_pull_is_lost(work, tmp_path, follow):
    """The same pull gets the same events: nothing waits for its lease, and no attempt is lost."""
    work.subscribe("--lease", "600")
    work.create(30)
    port = urlsplit(work.core.url).port
    with FaultProxy(port) as proxy:
        cut = []

        def lose_first(connection, direction, data):
            if direction == "down" and b"lead" in data and not cut:
                cut.append(len(data))
                connection.reset()
                return b""
            return data

        proxy.hook = lose_first
        url = work.core.url.replace(str(port), str(proxy.port))
        words = ("consume", NAME, "--ack", "--max", "30")
        done = run("triggers", *words, folder=tmp_path, deadline=60, TRIGGERS_CORE=url)
    assert done.returncode == 0 and cut, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert sequences(events) == list(range(1, 31))
    assert {event["delivery_attempt"] for event in events} == {1}


# ---- dead letters ----


def test_dead_letters_are_given_out_again(work, tmp_path):
    work.subscribe("--max-attempts", "1")
    work.create(5)
    work.told("--no-wait", "--exec", "exit 3", status=1)
    letters, _ = work.call("dead-letters", NAME)
    assert sorted(sequences(letters)) == [1, 2, 3, 4, 5]
    assert len(work.call("dead-letters", NAME, "--limit", "2")[0]) == 2
    assert work.call("dead-letters", NAME, "--source", "nobody")[0] == []
    assert work.call("dead-letters", NAME, "--redrive", "--all", "--dry-run")[0] == [
        {"redriven": 5, "left": 0}
    ]
    assert len(work.call("dead-letters", NAME)[0]) == 5
    ids = [letter["event_id"] for letter in letters]
    assert work.call("dead-letters", NAME, "--redrive", *ids[:2])[0] == [{"redriven": 2, "left": 0}]
    events, _ = work.call("consume", NAME, "--ack", "--no-wait")
    assert {event["event_id"] for event in events} == set(ids[:2])
    assert {event["delivery_attempt"] for event in events} == {1}
    assert work.call("dead-letters", NAME, "--delete", ids[2])[0] == [{"deleted": 1, "left": 0}]
    assert work.call("dead-letters", NAME, "--redrive", "--all")[0] == [{"redriven": 2, "left": 0}]
    assert work.told("--no-wait", "--exec", "true").startswith("triggers: 2 acknowledged")
    assert work.call("dead-letters", NAME)[0] == [] and work.look()["dead_letters"] == 0


def test_dead_letters_for_people(work):
    work.subscribe("--max-attempts", "1")
    work.create(1)
    work.told("--no-wait", "--exec", "exit 3", status=1)
    shown = work.call("dead-letters", NAME, "--output", "table")[1].stdout
    header, row = shown.splitlines()
    assert header.split()[-1] == "REASON" and row.endswith("exit status 3")
