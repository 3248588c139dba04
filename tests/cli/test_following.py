"""What the commands do while time passes: following the inbox, a core that goes away, streams."""

import json
import signal
import subprocess

import pytest

from support.certificates import make_certificate
from support.network import free_port, wait_until
from support.program import clean_environment, program_path, run


FOLLOW = ("inbox", "--follow")


def printed(program):
    return [event["event_id"] for event in program.log]


def ack(core, *ids, folder):
    assert run("triggers", "ack", *ids, folder=folder, TRIGGERS_CORE=core.url).returncode == 0


def test_following_prints_each_event_once_oldest_first(start_core, follow, tmp_path):
    core = start_core()
    with core.client() as rpc:
        ids = [rpc.create("crm", "lead", b"{}").event_id for _ in range(3)]
        following = follow(core, *FOLLOW, "--limit", "7")
        wait_until(lambda: len(printed(following)) == 3, "the events that were there")
        ids += [rpc.create("crm", "lead", b"{}").event_id for _ in range(2)]
        wait_until(lambda: len(printed(following)) == 5, "two new events")
        ack(core, ids[0], ids[4], folder=tmp_path)
        ids += [rpc.create("crm", "lead", b"{}").event_id for _ in range(2)]
        assert following.wait() == 0
    assert printed(following) == ids


def test_following_starts_with_what_is_pending_and_prints_all_that_comes(start_core, follow):
    """Also what somebody else acknowledges before this follower asks again."""
    core = start_core()
    with core.client() as rpc:
        ids = [rpc.create("crm", "lead", b"{}").event_id for _ in range(6)]
        for event_id in (ids[1], ids[5]):
            rpc.event("AckEvent", event_id=event_id)
        pending = [ids[0], *ids[2:5]]
        following = follow(core, *FOLLOW, "--limit", "8")
        wait_until(lambda: len(printed(following)) == 4, "what is pending")
        with following.paused():
            ids += [rpc.create("crm", "lead", b"{}").event_id for _ in range(4)]
            rpc.event("BatchAckEvents", event_ids=ids)
        assert following.wait() == 0
    assert printed(following) == pending + ids[6:]


def test_following_continues_after_an_interrupt(start_core, follow):
    core = start_core()
    with core.client() as rpc:
        ids = [rpc.create("crm", "lead", b"{}").event_id for _ in range(3)]
        following = follow(core, *FOLLOW)
        wait_until(lambda: printed(following) == ids, "the events that were there")
        following.process.send_signal(signal.SIGINT)
        assert following.wait() == 0
        (told,) = following.stderr
        assert told.endswith("--after 3")
        ids += [rpc.create("crm", "lead", b"{}").event_id for _ in range(3)]
        rpc.event("AckEvent", event_id=ids[3])
        following = follow(core, *FOLLOW, "--after", "3", "--limit", "3")
        assert following.wait() == 0
        assert printed(following) == ids[3:]


def test_following_filters(start_core, follow):
    core = start_core()
    with core.client() as rpc:
        wanted = []
        for number in range(6):
            rpc.create("shop", "lead.won", b"{}")
            wanted.append(rpc.create("crm.eu", f"lead.{number}", b"{}").event_id)
            if number == 2:
                following = follow(
                    core, *FOLLOW, "--source", "crm*", "--event-type", "lead*", "--limit", "6"
                )
                wait_until(lambda: printed(following) == wanted, "the events that were there")
        assert following.wait() == 0
    assert printed(following) == wanted


def test_following_goes_over_many_pages(start_core, follow):
    core = start_core()
    with core.client() as rpc:
        ids = [rpc.create("crm", "lead", b"{}").event_id for _ in range(650)]
        following = follow(core, *FOLLOW, "--limit", "700")
        wait_until(lambda: len(printed(following)) == 650, "the events that were there")
        ids += [rpc.create("crm", "lead", b"{}").event_id for _ in range(50)]
        assert following.wait() == 0
    assert printed(following) == ids


def test_following_waits_for_a_core_that_is_away(start_core, follow, tmp_path):
    settings = {
        "TRIGGERS_LISTEN": f"ws://127.0.0.1:{free_port()}/rpc",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'away.db'}",
    }
    core = start_core(**settings)
    with core.client() as rpc:
        ids = [rpc.create("crm", "lead", b"{}").event_id]
    following = follow(core, *FOLLOW, "--limit", "2", "--timeout", "1")
    wait_until(lambda: printed(following) == ids, "the first event")
    core.stop()
    wait_until(lambda: following.stderr, "a word about the core")
    core = start_core(**settings)
    with core.client() as rpc:
        ids.append(rpc.create("crm", "lead", b"{}").event_id)
    assert following.wait() == 0
    assert printed(following) == ids
    assert all("try again" in line or "CORE_" in line for line in following.stderr)


def test_a_slow_stream_is_stored_line_by_line(start_core, tmp_path):
    core = start_core()
    process = subprocess.Popen(
        [program_path("triggers"), "create", "--ndjson"],
        env=clean_environment(tmp_path / "stream", {"TRIGGERS_CORE": core.url}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with core.client() as rpc:
        for count in (1, 2):
            process.stdin.write(b'{"source":"s","event_type":"t","payload":{}}\n')
            process.stdin.flush()
            wait_until(lambda: len(rpc.event("ListInbox").events) == count, f"event {count}")
    summary = json.loads(process.communicate()[0])
    assert process.returncode == 0 and (summary["stored"], summary["failed"]) == (2, 0)


@pytest.mark.concurrent
def test_an_import_survives_a_core_that_restarts(start_core, tmp_path):
    settings = {
        "TRIGGERS_LISTEN": f"ws://127.0.0.1:{free_port()}/rpc",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'restart.db'}",
    }
    core = start_core(**settings)
    process = subprocess.Popen(
        [program_path("triggers"), "create", "--ndjson"],
        env=clean_environment(tmp_path / "import", {"TRIGGERS_CORE": core.url}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    line = b'{"source":"s","event_type":"t","payload":{}}\n'
    process.stdin.write(line * 3000)
    process.stdin.flush()
    with core.client() as rpc:
        wait_until(lambda: rpc.event("ListInbox").events, "the first events")
    core.kill()
    core = start_core(wait=False, **settings)
    process.stdin.write(line * 3000)
    output, errors = process.communicate()
    summary = json.loads(output)
    assert process.returncode == 0, errors
    assert (summary["stored"], summary["failed"]) == (6000, 0)
    done = run("triggers", "inbox", "--all", folder=tmp_path, TRIGGERS_CORE=core.url)
    assert len(done.stdout.splitlines()) == 6000


@pytest.mark.parametrize("scheme, path", [("wss", "/rpc"), ("tls+tcp", "")])
def test_tls(start_core, tmp_path, scheme, path):
    certificate, key = make_certificate(tmp_path)
    port = free_port()
    plain = f"ws://127.0.0.1:{free_port()}/rpc"
    start_core(
        TRIGGERS_LISTEN=f"{plain},{scheme}://127.0.0.1:{port}{path}",
        TRIGGERS_TLS_CERT=certificate,
        TRIGGERS_TLS_KEY=key,
    )
    url = f"{scheme}://localhost:{port}{path}"
    health = ["health", "--core", url]
    done = run("triggers", *health, folder=tmp_path, TRIGGERS_TLS_CA=certificate)
    assert done.returncode == 0, done.stderr
    other, _ = make_certificate(tmp_path, "other")
    done = run("triggers", *health, "--ca", other, folder=tmp_path)
    assert done.returncode == 4 and "certificate" in done.stderr


def test_a_core_whose_store_is_away_is_not_healthy(start_core, own_postgres, tmp_path):
    core = start_core(DATABASE_URL=own_postgres.url("away"))
    own_postgres.stop()
    with core.client() as rpc:
        wait_until(lambda: not rpc.serving(), "NOT_SERVING")
    done = run("triggers", "health", folder=tmp_path, TRIGGERS_CORE=core.url)
    assert done.returncode == 4
    assert json.loads(done.stdout)["status"] == "NOT_SERVING"
    alive = run("triggers", "health", "--alive", folder=tmp_path, TRIGGERS_CORE=core.url)
    assert alive.returncode == 0 and alive.stdout == done.stdout

    def refused():
        done = run("triggers", "create", "crm", "lead", folder=tmp_path, TRIGGERS_CORE=core.url)
        assert done.returncode == 4  # the first may find the connection lost: OUTCOME_UNKNOWN
        return "STORE_UNAVAILABLE" in done.stderr

    wait_until(refused, "a create refused at once")
    core.stop()
    done = run("triggers", "health", "--alive", folder=tmp_path, TRIGGERS_CORE=core.url)
    assert done.returncode == 4
