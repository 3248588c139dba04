"""Keys, tenants and audit records on the command line, with a core that asks for keys: the first key made
beside the store, what each command does with a key, and what is said without a good one."""

import json
import socket
import time
from pathlib import Path

import pytest

from support.keys import id_of, make_key
from support.network import wait_until
from support.program import Program, program_path, run

CORE_SETTINGS = {"TRIGGERS_AUTH": "required"}
SECONDS = 5  # within which every core knows of a key, and of its end


@pytest.fixture(scope="module")
def operator(core, store_url, tmp_path_factory):
    """An operator's key, made beside the store while the core runs on it."""
    folder = tmp_path_factory.mktemp("operator")
    words = ("keys", "create", "--operator", "--name", "first", "--database-url", store_url)
    done = run("triggers", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["details"] == {"key_id": id_of(made["key"]), "name": "first"}
    known = time.monotonic()

    def is_known():
        return call_with(core, folder, made["key"], "keys").returncode == 0

    wait_until(is_known, "the core knows the key", deadline=SECONDS + 5)
    assert time.monotonic() - known < SECONDS + 1
    return made["key"]


def call_with(core, folder, key, *words, **options):
    return run("triggers", *words, folder=folder, TRIGGERS_CORE=core.url, TRIGGERS_API_KEY=key, **options)


@pytest.fixture
def call(core, operator, tmp_path):
    """What a command prints as JSON lines; with another status, what it says on stderr."""

    def call(*words, status=0, key=operator):
        done = call_with(core, tmp_path, key, *words)
        assert done.returncode == status, (words, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()] if status == 0 else done.stderr

    return call


@pytest.fixture
def make(call):
    """A key with these options, and its id."""

    def make(*options, tenant="default"):
        (made,) = call("keys", "create", "--name", "made", "--tenant", tenant, *options)
        assert made["details"]["key_id"] == id_of(made["key"])
        return made["key"]

    return make


# ---- keys ----


def test_a_key_has_what_it_is_given(call, make):
    words = ["--scope", "events:write", "--scope", "EVENTS_READ,audit:read", "--source", "shop*"]
    words += ["--source", "crm", "--event-type", "order.*", "--subscription", "mail", "--address", "127.0.0.0/8"]
    words += ["--calls-per-second", 50, "--bytes-per-second", 100000]
    key = make(*words, "--expires", "2099-01-31")
    (shown,) = call("keys", "show", id_of(key))
    assert shown.pop("created_at") and shown.pop("last_used_at") is None
    assert shown == {
        "key_id": id_of(key),
        "name": "made",
        "scopes": ["events_write", "events_read", "audit_read"],
        "sources": ["shop*", "crm"],
        "event_types": ["order.*"],
        "subscriptions": ["mail"],
        "addresses": ["127.0.0.0/8"],
        "expires_at": "2099-01-31T00:00:00.000000Z",
        "revoked_at": None,
        "rotated_from": "",
        "rotated_to": "",
        "limits": {"calls_per_second": 50, "events_per_second": 0, "bytes_per_second": 100000},
    }
    assert id_of(key) in [row["key_id"] for row in call("keys", "list")]
    assert key[17:] not in json.dumps(call("keys"))


def test_as_text_a_new_key_is_alone_on_stdout(core, operator, tmp_path):
    words = ("keys", "create", "--name", "a shop", "--scope", "events:write", "--output", "text")
    done = call_with(core, tmp_path, operator, *words)
    key = done.stdout.strip()
    assert done.stdout == key + "\n" and len(key) == 66
    assert id_of(key) in done.stderr and key not in done.stderr and done.stderr.count("\n") == 1
    shown = call_with(core, tmp_path, operator, "keys", "show", id_of(key), "--output", "text").stdout
    assert "a shop" in shown and "events:write" in shown and "active" in shown
    table = call_with(core, tmp_path, operator, "keys", "--output", "table").stdout
    assert table.startswith("KEY ID") and f"\n{id_of(key)}  a shop" in table


def test_a_rotated_key_works_for_the_overlap(call, make):
    old = make("--scope", "events:read", "--scope", "keys:manage")
    (made,) = call("keys", "rotate", id_of(old), "--overlap", "1h", "--expires", "90d")
    assert made["details"]["rotated_from"] == id_of(old) and made["details"]["expires_at"]
    assert made["details"]["scopes"] == ["events_read", "keys_manage"]
    call("kinds", key=old)
    call("kinds", key=made["key"])
    (shown,) = call("keys", "show", id_of(old))
    assert shown["rotated_to"] == id_of(made["key"]) and shown["expires_at"]
    assert "(" in call("keys", "rotate", id_of(old), status=1)
    (at_once,) = call("keys", "rotate", id_of(made["key"]), "--overlap", "0s")
    call("kinds", key=at_once["key"])
    wait_until(lambda: refused(call, made["key"]), "the old key is refused", deadline=SECONDS + 5)


def refused(call, key):
    """Whether a key is refused, by what the command says."""
    try:
        call("kinds", key=key)
    except AssertionError as error:
        assert "(KEY_INVALID)" in str(error)
        return True
    return False


def test_a_revoked_key_is_refused(call, make):
    key = make("--scope", "events:read")
    call("kinds", key=key)
    (revoked,) = call("keys", "revoke", id_of(key))
    assert revoked["revoked_at"]
    wait_until(lambda: refused(call, key), "the key is refused", deadline=SECONDS + 5)
    call("keys", "revoke", id_of(key))
    assert "NOT_FOUND" in call("keys", "revoke", id_of(make_key()), status=3)


# ---- tenants ----


def test_a_tenant_has_a_log_of_its_own(call, make):
    (made,) = call("tenants", "put", "acme", "--description", "Acme", "--keep-acknowledged", "30d")
    assert (made["name"], made["state"], made["description"]) == ("acme", "active", "Acme")
    (put,) = call("tenants", "put", "acme", "--keep-pending", "forever")
    assert (put["keep_acknowledged_seconds"], put["keep_pending_seconds"]) == (2592000, 0)
    (capped,) = call("tenants", "put", "acme", "--max-pending", 1000, "--max-outstanding", 5)
    assert capped.pop("caps") == {
        "pending_events": 1000,
        "storage_bytes": 0,
        "subscriptions": 0,
        "waiting_calls": 0,
        "outstanding": 5,
    }
    (shown,) = call("tenants", "show", "acme")
    assert shown["usage"] == {"pending_events": 0, "storage_bytes": 0, "subscriptions": 0}
    assert shown["tenant"].pop("caps")["pending_events"] == 1000
    del put["caps"]
    assert shown["tenant"] == put == capped
    assert {"default", "acme"} <= {row["name"] for row in call("tenants")}
    key = make("--scope", "events:write,events:read", tenant="acme")
    (event,) = call("create", "crm", "lead", "{}", key=key)
    call("get", event["event_id"], key=key)
    call("get", event["event_id"], status=3)
    assert call("tenants", "suspend", "acme")[0]["state"] == "suspended"

    def is_suspended():
        try:
            call("kinds", key=key)
        except AssertionError as error:
            assert "(TENANT_SUSPENDED); an operator can end that" in str(error)
            return True
        return False

    wait_until(is_suspended, "the tenant is suspended", deadline=SECONDS + 5)
    assert call("tenants", "resume", "acme")[0]["state"] == "active"
    wait_until(lambda: not is_suspended(), "the tenant is resumed", deadline=SECONDS + 5)
    assert call("tenants", "delete", "acme")[0]["state"] == "deleting"
    wait_until(lambda: refused(call, key), "the tenant's key is refused", deadline=SECONDS + 5)


def test_what_is_refused_of_tenants(core, operator, call, tmp_path):
    assert "(" in call("tenants", "put", "Not/A/Name", status=1)
    assert "NOT_FOUND" in call("tenants", "show", "nobody", status=3)
    assert "(" in call("tenants", "delete", "default", status=1)
    table = call_with(core, tmp_path, operator, "tenants", "--output", "table").stdout
    assert table.startswith("NAME ") and "\ndefault " in table
    shown = call_with(core, tmp_path, operator, "tenants", "show", "default", "--output", "table").stdout
    assert "state         active\n" in shown and " subscriptions: 0\n" in shown


# ---- audit ----


def test_what_was_changed_is_listed_and_exported(core, operator, call, make, tmp_path):
    key = make("--scope", "events:read")
    (record, *_) = call("audit", "list", "--limit", "1")
    assert (record["action"], record["target"], record["result"]) == ("CreateKey", id_of(key), "OK")
    assert record["key_id"] == id_of(operator) and record["address"] == "127.0.0.1"
    with core.client(key=operator) as client:
        for number in range(1005):  # more than a page; what changes nothing is not recorded
            client.access("PutTenant", name="often", description=str(number))
    done = call_with(core, tmp_path, operator, "audit", "export")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(record["target"] == "often" for record in records) == 1005
    numbers = [record["number"] for record in records]
    assert numbers == sorted(set(numbers), reverse=True) and numbers[-1] == 1
    assert records[-1]["key_id"] == "" and records[-1]["target"] == id_of(operator)
    assert done.stderr.endswith(f"triggers: {len(records)} records\n")
    assert len(call("audit")) == 50 and len(call("audit", "list", "--limit", "1002")) == 1002
    assert call("audit", "--until", "1h") == [] and len(call("audit", "--since", "1h", "--limit", "3")) == 3
    table = call_with(core, tmp_path, operator, "audit", "--output", "table").stdout
    assert table.startswith("RECORDED ") and "PutTenant" in table
    assert key not in done.stdout


# ---- the key of a command ----


EVERY = [
    ["create", "crm", "lead", "{}"],
    ["create", "--ndjson"],
    ["inbox"],
    ["inbox", "--follow"],
    ["tail", "--no-follow"],
    ["kinds"],
    ["get", "evt_1"],
    ["ack", "evt_1"],
    ["erase", "evt_1"],
    ["subscriptions"],
    ["consume", "inbox", "--no-wait"],
    ["dead-letters", "inbox"],
    ["seek", "inbox", "earliest"],
    ["tenants"],
    ["keys"],
    ["audit", "export"],
    ["bench", "--op", "get", "--duration", "0.2"],
]


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_sends_the_key_and_says_so_without(core, operator, tmp_path, words):
    path = tmp_path / "key"
    path.write_text(f"{operator}\n")
    stdin = b'{"source":"s","event_type":"t","payload":{}}\n'
    settings = {"folder": tmp_path, "stdin": stdin, "TRIGGERS_CORE": core.url}
    without = run("triggers", *words, **settings)
    assert without.returncode == 1 and "(KEY_MISSING)" in without.stderr
    assert "TRIGGERS_API_KEY" in without.stderr
    if "--follow" not in words:
        done = run("triggers", *words, **settings, TRIGGERS_API_KEY_FILE=path)
        assert "KEY" not in done.stderr and done.returncode in (0, 3, 1 if "evt_1" in words else 0)


def test_a_command_may_print_the_key(core, operator, tmp_path):
    (tmp_path / "key").write_text(operator)
    settings = {"folder": tmp_path, "TRIGGERS_CORE": core.url}
    done = run("triggers", "keys", **settings, TRIGGERS_API_KEY_COMMAND="echo asked >&2; cat key")
    assert done.returncode == 0 and done.stderr == "asked\n"
    # It must not take what the command itself reads.
    stdin = b'{"source":"s","event_type":"t","payload":{}}\n'
    done = run(
        *("triggers", "create", "--ndjson"),
        **settings,
        stdin=stdin,
        TRIGGERS_API_KEY_COMMAND="cat >/dev/null; cat key",
    )
    assert done.returncode == 0 and '"stored":1' in done.stdout


def test_what_is_said_of_a_key_that_is_not_good(call, make, core, tmp_path):
    said = call("kinds", status=1, key=make_key())
    assert "(KEY_INVALID); see that TRIGGERS_API_KEY has the right one" in said
    key = make("--scope", "events:write", "--source", "shop")
    said = call("kinds", status=1, key=key)
    assert "events:read" in said and "(SCOPE_MISSING); use a key that has it" in said
    said = call("create", "crm", "lead", "{}", status=1, key=key)
    assert "(KEY_RESTRICTED); use another key" in said
    call("create", "shop", "lead", "{}", key=key)
    assert key not in said and key[17:] not in said


@pytest.mark.parametrize("setting", ["FILE", "COMMAND"])
def test_a_consumer_goes_on_with_a_new_key(setting, core, call, make, follow_with, tmp_path):
    old = make("--scope", "subscriptions:consume,subscriptions:manage")
    name = f"rotated-{setting.lower()}"
    call("subscriptions", "create", name)
    program, path = follow_with(setting, old, "consume", name, "--ack")
    call("create", "crm", "lead", '{"number":1}')
    wait_until(lambda: len(program.log) == 1, "the first event")
    (made,) = call("keys", "rotate", id_of(old))
    path.write_text(made["key"])
    call("keys", "revoke", id_of(old))
    wait_until(lambda: refused(call, old), "the old key is refused", deadline=SECONDS + 5)
    call("create", "crm", "lead", '{"number":2}')
    wait_until(lambda: len(program.log) == 2, "the second event")
    assert program.running and program.stderr == []


def test_a_file_without_a_key_leaves_the_one_before(core, call, make, follow_with):
    """As while a shell writes it anew."""
    key = make("--scope", "subscriptions:consume,subscriptions:manage")
    call("subscriptions", "create", "emptied")
    program, path = follow_with("FILE", key, "consume", "emptied", "--ack")
    call("create", "crm", "lead", '{"number":1}')
    wait_until(lambda: len(program.log) == 1, "the first event")
    path.write_text("")
    call("create", "crm", "lead", '{"number":2}')
    wait_until(lambda: len(program.log) == 2, "the second event")
    assert program.running and all("there is no key" in line for line in program.stderr)


@pytest.fixture
def follow_with(core, started, tmp_path):
    """A running command whose key is in a file, or printed by a command from there: the program and the
    file's path."""

    def start(setting, key, *words):
        path = tmp_path / "followed.key"
        path.write_text(key)
        argv = [program_path("triggers"), *words, "--output", "json"]
        where = {f"TRIGGERS_API_KEY_{setting}": path if setting == "FILE" else f"cat {path}"}
        program = Program(argv, tmp_path, TRIGGERS_CORE=core.url, **where)
        started.append(program)
        return program, path

    return start


# ---- beside the store ----


def test_the_store_may_come_from_the_environment(new_store_url, tmp_path):
    done = run("triggers", "keys", "create", "--operator", folder=tmp_path, DATABASE_URL=new_store_url())
    assert done.returncode == 0 and json.loads(done.stdout)["details"]["name"] == "operator"


def test_a_store_that_cannot_be_opened_is_named_without_its_password(tmp_path):
    for url in ("sqlite:////nowhere/triggers.db", "postgresql://me:secret@127.0.0.1:1/none"):
        words = ("keys", "create", "--operator", "--database-url", url)
        done = run("triggers", *words, folder=tmp_path)
        assert done.returncode in (1, 2, 4) and done.stdout == ""
        assert "(" in done.stderr and "secret" not in done.stderr


def test_the_password_of_the_store_is_not_among_the_arguments(started, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me:secret@127.0.0.1:{silent.getsockname()[1]}/none"
        argv = [program_path("triggers"), "keys", "create", "--operator", "--database-url", url]
        program = Program(argv, tmp_path)
        try:
            silent.settimeout(30)
            with silent.accept()[0]:
                shown = Path(f"/proc/{program.pid}/cmdline").read_bytes()
                assert b"--operator" in shown and b"secret" not in shown
        finally:
            program.process.kill()
            program.process.wait()
