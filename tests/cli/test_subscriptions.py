"""triggers subscriptions and seek: what they create, change, list, move and remove."""

import json

import pytest

from support.program import run


@pytest.fixture(scope="module")
def filled(core, rpc):
    for number in range(10):
        rpc.create("crm" if number % 2 else "shop", "lead", b"{}")
    return core


@pytest.fixture
def call(filled, tmp_path):
    """What a command prints as JSON lines."""

    def call(*words, status=0):
        done = run("triggers", *words, folder=tmp_path, TRIGGERS_CORE=filled.url)
        assert done.returncode == status, (words, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()] if status == 0 else done.stderr

    return call


def test_a_subscription_has_what_it_is_given(call):
    words = ["--description", "For mail", "--source", "crm", "--source", "sh*", "--event-type", "lead"]
    words += ["--start", "earliest", "--lease", "5", "--max-attempts", "0", "--backoff-min", "2"]
    words += ["--backoff-max", "7", "--max-outstanding", "9", "--acknowledge-in-inbox", "yes", "--pause"]
    words += ["--ordering", "key", "--after-dead-letter", "block"]
    (made,) = call("subscriptions", "create", "given", *words)
    assert made.pop("created") is True and made.pop("created_at")
    assert made == {
        "name": "given",
        "description": "For mail",
        "filter": {"sources": ["crm", "sh*"], "event_types": ["lead"]},
        "lease_seconds": 5,
        "max_delivery_attempts": 0,
        "backoff": {"minimum_seconds": 2, "maximum_seconds": 7},
        "max_outstanding": 9,
        "acknowledge_in_inbox": True,
        "paused": True,
        "ordering": "by_key",
        "after_dead_letter": "block",
    }
    (seen,) = call("subscriptions", "get", "given")
    assert made.items() <= seen.items() and seen["backlog"] == 10 and seen["position"] == 0
    (again,) = call("subscriptions", "create", "given")
    assert again.pop("created") is False and made.items() <= again.items()
    assert "ORDERING_FIXED" in call("subscriptions", "update", "given", "--ordering", "none", status=1)
    call("subscriptions", "delete", "given")
    assert "NOT_FOUND" in call("subscriptions", "get", "given", status=3)


def test_a_change_leaves_the_rest(call):
    call("subscriptions", "create", "changed", "--source", "crm", "--lease", "5")
    (now,) = call("subscriptions", "update", "changed", "--pause", "--event-type", "lead")
    assert (now["paused"], now["lease_seconds"], now["created"]) == (True, 5, False)
    assert now["filter"] == {"sources": ["crm"], "event_types": ["lead"]}
    (now,) = call("subscriptions", "update", "changed", "--resume", "--source", "*")
    assert now["paused"] is False and now["filter"]["event_types"] == ["lead"]
    assert call("seek", "changed", "earliest")[0]["position"] == 0
    assert call("subscriptions", "get", "changed")[0]["backlog"] == 10
    call("subscriptions", "update", "nobody", "--pause", status=3)
    assert "nobody" not in {row["name"] for row in call("subscriptions")}


def test_the_list_has_all_of_them(filled, call, tmp_path):
    call("subscriptions", "create", "listed", "--start", "earliest")
    call("consume", "listed", "--ack", "--max", "4")
    rows = {row["name"]: row for row in call("subscriptions")}
    assert {"inbox", "listed"} <= set(rows)
    assert rows["listed"]["backlog"] == 6 and rows["inbox"]["acknowledge_in_inbox"] is True
    words = ("subscriptions", "--output", "table")
    shown = run("triggers", *words, folder=tmp_path, TRIGGERS_CORE=filled.url).stdout
    header, *lines = shown.splitlines()
    assert header.split() == ["NAME", "BACKLOG", "OUTSTANDING", "DELAYED", "DEAD", "OLDEST", "PAUSED"]
    (line,) = (line.split() for line in lines if line.startswith("listed "))
    assert line[:5] == ["listed", "6", "0", "0", "0"] and line[5][-1] in "smhd"


@pytest.mark.parametrize(
    "to, position", [("earliest", 0), ("latest", 10), ("4", 3), ("2h", 0), ("2020-01-31", 0)]
)
def test_seek(call, to, position):
    call("subscriptions", "create", "moved", "--start", "8")
    call("seek", "moved", "8")
    assert call("seek", "moved", to, "--dry-run") == [
        {"position": position, "events": abs(position - 7)}
    ]
    assert call("subscriptions", "get", "moved")[0]["position"] == 7
    assert call("seek", "moved", to)[0]["position"] == position
    assert call("subscriptions", "get", "moved")[0]["backlog"] == 10 - position


def test_what_the_core_refuses(call):
    assert "(POSITION_INVALID)" in call("seek", "inbox", "yesterday", status=1)
    assert "INVALID" in call("subscriptions", "create", "Not/A/Name", status=1)
    assert "(" in call("subscriptions", "delete", "inbox", status=1)
