"""What each command does against a core on either store."""

import json
import os
import pty
import subprocess
from datetime import datetime, timedelta, timezone

import pytest

from support.program import clean_environment, program_path, run
from support.typeid import new_event_id

NO_EVENT = "evt_01h455vb4pex5vsknk084sn02q"


def lines(done):
    """The JSON objects on stdout of a run that succeeded."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def created(cli, *arguments, **options):
    """The id of an event that `create` stored."""
    (event,) = lines(cli("create", *arguments, **options))
    assert set(event) == {"event_id", "sequence", "created_at"} and event["sequence"] > 0
    return event["event_id"]


def failed(done, status, *texts):
    """Checks a failure: its status, nothing on stdout, one line on stderr that holds the texts."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("triggers: ") and done.stderr.count("\n") == 1
    for text in texts:
        assert text in done.stderr


def ndjson(count):
    """So many events, one a line."""
    line = '{"source":"s","event_type":"t","payload":{"i":%d}}\n'
    return b"".join((line % i).encode() for i in range(count))


def test_create_and_get(cli):
    event_id = created(cli, " CRM ", "Lead.Created", '{"name":"Ada"}')
    (event,) = lines(cli("get", event_id))
    times = (event.pop("created_at"), event.pop("acknowledged_at"))
    assert times[0].endswith("Z") and len(times[0]) == 27 and times[1] is None
    assert event.pop("sequence") > 0
    assert event == {
        "event_id": event_id,
        "source": "crm",
        "event_type": "lead.created",
        "payload": {"name": "Ada"},
        "status": "pending",
        "ordering_key": None,
        "deliver_at": None,
    }


def test_a_key_or_a_delay_is_shown(cli):
    keyed = created(cli, "shop", "order.paid", "--ordering-key", "Order 7")
    (event,) = lines(cli("get", keyed))
    assert (event["ordering_key"], event["deliver_at"]) == ("Order 7", None)
    delayed = created(cli, "shop", "cart.left", "--delay", "2h")
    (event,) = lines(cli("get", delayed))
    waits = datetime.fromisoformat(event["deliver_at"]) - datetime.fromisoformat(event["created_at"])
    assert waits == timedelta(hours=2)
    assert event in lines(cli("inbox"))
    tomorrow = (datetime.now(timezone.utc) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
    dated = created(cli, "shop", "cart.left", "--deliver-at", tomorrow + "Z")
    assert lines(cli("get", dated))[0]["deliver_at"] == tomorrow + ".000000Z"
    tables = [cli("get", event_id, "--output", "table").stdout for event_id in (keyed, dated)]
    assert "ordering key  Order 7\n" in tables[0] and "deliver at" not in tables[0]
    assert "deliver at    " in tables[1] and "ordering key" not in tables[1]


@pytest.mark.parametrize(
    "options, text",
    [
        (["--delay", "32d"], "up to 2678400s"),
        (["--delay", "5"], "a number and s, m, h or d"),
        (["--delay", "-5s"], "a number and s, m, h or d"),
        (["--deliver-at", "2h"], "a time such as"),
        (["--delay", "2h", "--deliver-at", "2030-01-01"], "not both"),
        (["--ndjson", "--ordering-key", "a"], "for one event"),
    ],
)
def test_wrong_keys_and_delays_are_usage_errors(cli, options, text):
    failed(cli("create", "shop", "cart.left", *options), 2, text)


def test_a_key_with_a_delay_is_refused_by_the_core(cli):
    done = cli("create", "shop", "cart.left", "--ordering-key", "a", "--delay", "1s")
    failed(done, 1, "ORDERING_KEY_WITH_DELAY")


def test_lines_have_keys_and_delays(cli):
    line = {"source": "shop", "event_type": "line", "payload": {}}
    soon = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    sent = [
        {**line, "ordering_key": "a"},
        {**line, "delay_seconds": 60},
        {**line, "deliver_at": f"{soon}+00:00"},
        {**line, "ordering_key": None, "deliver_at": None, "delay_seconds": None},
    ]
    wrong = [
        {**line, "ordering_key": 1},
        {**line, "deliver_at": "soon"},
        {**line, "delay_seconds": 1.5},
        {**line, "delay_seconds": 60, "deliver_at": f"{soon}Z"},
    ]
    text = "".join(json.dumps(each) + "\n" for each in sent + wrong)
    done = cli("create", "--ndjson", stdin=text.encode())
    assert done.returncode == 1 and json.loads(done.stdout)["stored"] == len(sent)
    errors = [each for each in done.stderr.splitlines() if "line" in each]
    for number, name in enumerate(["ordering_key", "deliver_at", "delay_seconds", "delay_seconds"], 5):
        assert any(f"line {number}" in each and name in each for each in errors), done.stderr
    stored = lines(cli("inbox", "--event-type", "line", "--order", "oldest"))
    assert [event["ordering_key"] for event in stored] == ["a", None, None, None]
    assert [bool(event["deliver_at"]) for event in stored] == [False, True, True, False]
    assert stored[2]["deliver_at"] == soon + ".000000Z"


def test_an_erased_payload_is_null(cli):
    event_id = created(cli, "crm", "lead.created", '{"name":"Ada"}')
    (before,) = lines(cli("get", event_id))
    erased = lines(cli("erase", event_id))
    assert erased == [{"event_id": event_id, "sequence": before["sequence"]}]
    (event,) = lines(cli("get", event_id))
    assert event == {**before, "payload": None, "payload_erased": True}
    assert event in lines(cli("inbox"))
    assert lines(cli("erase", event_id)) == erased
    again = lines(cli("create", "crm", "lead.created", '{"name":"Ada"}', "--id", event_id))
    assert again[0]["sequence"] == before["sequence"]
    shown = cli("get", event_id, "--output", "table")
    assert "(erased)" in shown.stdout and "Ada" not in shown.stdout
    assert cli("get", event_id, "--payload").stdout == ""


PAYLOAD = b'{"big":1234567890123456789012345678901234567890,"e":1e400,"z":-0.0,"a":1,"a":2,\n "u":"\\u0000"}'


def test_payloads_come_back_as_they_were_sent(cli):
    event_id = created(cli, "crm", "lead", "-", stdin=b" " + PAYLOAD + b"\n")
    done = cli("get", event_id, "--payload")
    assert done.stdout.encode() == PAYLOAD
    on_one_line = PAYLOAD.replace(b"\n", b" ").decode()
    assert f'"payload":{on_one_line},' in cli("get", event_id).stdout


def test_payload_from_a_file_and_left_out(cli, tmp_path):
    (tmp_path / "lead.json").write_bytes(PAYLOAD)
    event_id = created(cli, "crm", "lead", "@lead.json")
    assert cli("get", event_id, "--payload").stdout.encode() == PAYLOAD
    event_id = created(cli, "crm", "lead")
    assert cli("get", event_id, "--payload").stdout == "{}"


def test_byte_order_marks_before_input_are_dropped(cli, tmp_path):
    mark = b"\xef\xbb\xbf"
    (tmp_path / "lead.json").write_bytes(mark + b"\r\n" + PAYLOAD)
    event_id = created(cli, "crm", "lead", "@lead.json")
    assert cli("get", event_id, "--payload").stdout.encode() == PAYLOAD
    event_id = created(cli, "crm", "lead", "-", stdin=mark + PAYLOAD)
    assert cli("get", event_id, "--payload").stdout.encode() == PAYLOAD
    for place in ("-", "events.ndjson"):
        text = mark + ndjson(2) + mark + ndjson(1)
        (tmp_path / "events.ndjson").write_bytes(text)
        (done,) = lines(cli("create", "--ndjson", place, stdin=text))
        assert (done["stored"], done["failed"]) == (3, 0)
    assert lines(cli("ack", stdin=mark + event_id.encode() + b"\r\n"))[0]["event_id"] == event_id
    failed(cli("create", "crm", "lead", "-", stdin=mark * 2 + b"{}"), 1, "PAYLOAD_INVALID")


def test_the_same_id_again_is_stored_once(cli):
    event_id = new_event_id()
    first = lines(cli("create", "crm", "lead", '{"n":1}', "--id", event_id))
    assert lines(cli("create", "--id", event_id, "crm", "lead", '{"n":1}')) == first
    failed(cli("create", "crm", "lead", '{"n":2}', "--id", event_id), 1, "EVENT_ID_TAKEN")


def test_refused_creates(cli):
    failed(cli("create", "crm", "lead", "[1]"), 1, "PAYLOAD_INVALID", "object")
    failed(cli("create", "", "lead", "{}"), 1, "SOURCE_INVALID")
    failed(cli("create", "crm", "lead", "@missing.json"), 1, "missing.json")


def test_acknowledging(cli):
    ids = [created(cli, "crm", "lead") for _ in range(3)]
    results = lines(cli("ack", *ids))
    assert [result["event_id"] for result in results] == ids
    assert lines(cli("ack", ids[0])) == results[:1]
    (event,) = lines(cli("get", ids[0]))
    assert event["status"] == "acknowledged"
    assert event["acknowledged_at"] == results[0]["acknowledged_at"]


def test_acknowledging_from_stdin(cli):
    stored = cli("create", "--ndjson", stdin=ndjson(1200))
    assert json.loads(stored.stdout)["stored"] == 1200
    ids = [event["event_id"] for event in lines(cli("inbox", "--all"))]
    assert len(ids) >= 1200
    done = cli("ack", stdin="\n".join(["", *ids, ""]).encode())
    assert [result["event_id"] for result in lines(done)] == ids
    assert lines(cli("inbox", "--all")) == []


def test_erasing_from_stdin(cli):
    ids = [created(cli, "crm", "lead") for _ in range(3)]
    done = cli("erase", "-", stdin="\n".join(["", f" {ids[0]}\r", *ids[1:]]).encode())
    assert [result["event_id"] for result in lines(done)] == ids
    assert all(lines(cli("get", event_id))[0]["payload_erased"] for event_id in ids)


def test_help_says_that_erasing_cannot_be_undone(cli):
    assert "cannot be undone" in cli("erase", "--help").stdout


def test_what_does_not_exist_is_exit_status_3(cli):
    event_id = created(cli, "crm", "lead")
    failed(cli("get", NO_EVENT), 3, NO_EVENT, "EVENT_NOT_FOUND")
    for command in ("ack", "erase"):
        done = cli(command, NO_EVENT, event_id)
        assert done.returncode == 3 and NO_EVENT in done.stderr
        assert json.loads(done.stdout)["event_id"] == event_id
        done = cli(command, NO_EVENT, "nonsense")
        assert done.returncode == 1 and "EVENT_ID_INVALID" in done.stderr
        done = cli(command, "x" * 64, event_id)
        assert done.returncode == 1 and "EVENT_ID_INVALID" in done.stderr
        assert json.loads(done.stdout)["event_id"] == event_id


def test_inbox_orders_and_limits(cli):
    cli("ack", stdin=b"".join(e["event_id"].encode() + b"\n" for e in lines(cli("inbox", "--all"))))
    ids = [created(cli, "crm", "lead") for _ in range(5)]

    def listed(*arguments):
        return [event["event_id"] for event in lines(cli("inbox", *arguments))]

    assert listed() == ids[::-1]
    assert listed("--order", "oldest", "--limit", "2") == ids[:2]
    assert listed("--limit", "3") == ids[:1:-1]
    cli("ack", ids[1])
    assert listed("--all") == [*ids[4:1:-1], ids[0]]
    assert listed("--status", "acknowledged", "--limit", "1000").count(ids[1]) == 1


def test_inbox_goes_over_many_pages(cli):
    cli("create", "--ndjson", stdin=ndjson(2300))
    events = lines(cli("inbox", "--limit", "2100"))
    assert len({event["event_id"] for event in events}) == 2100
    assert len(lines(cli("inbox", "--all", "--order", "oldest"))) >= 2300


def test_inbox_filters(cli):
    """What each filter lets through, exact and by its beginning, alone and together."""
    stored = {}
    for source, event_type in (("crm.eu", "lead.won"), ("crm.us", "lead.lost"), ("shop", "lead.won")):
        stored[source] = created(cli, source, event_type)
    prefix = ("--source", "crm.*", "--source", "shop", "--source", "nobody*")

    def listed(*arguments):
        return [event["event_id"] for event in lines(cli("inbox", "--all", *arguments))]

    assert listed(*prefix) == [stored["shop"], stored["crm.us"], stored["crm.eu"]]
    assert listed(*prefix, "--event-type", "lead.won") == [stored["shop"], stored["crm.eu"]]
    assert listed("--source=crm.*", "--event-type=lead.l*") == [stored["crm.us"]]
    assert listed("--source", "crm") == [] or stored["crm.eu"] not in listed("--source", "crm")
    (event,) = lines(cli("get", stored["crm.us"]))
    assert stored["crm.eu"] not in listed(*prefix, "--since", event["created_at"])
    assert listed(*prefix, "--since", event["created_at"], "--order", "oldest")[0] == stored["crm.us"]
    assert listed(*prefix, "--until", event["created_at"]) == [stored["crm.eu"]]
    assert set(listed("--since", "1h")) >= set(stored.values())
    assert listed("--until", "1h") == []
    failed(cli("inbox", "--source", "c*m"), 1, "FILTER_INVALID", "source")
    failed(cli("inbox", "--event-type", ""), 1, "FILTER_INVALID", "event_type")


def test_kinds(cli):
    for source, event_type in (("k1", "a"), ("k2", "a"), ("k1", "b"), ("k1", "a")):
        created(cli, source, event_type)
    kinds = [(kind["source"], kind["event_type"]) for kind in lines(cli("kinds"))]
    assert [kind for kind in kinds if kind[0] in ("k1", "k2")] == [
        ("k1", "a"),
        ("k2", "a"),
        ("k1", "b"),
    ]
    table = cli("kinds", "--output", "table").stdout.splitlines()
    assert table[0].split() == ["SOURCE", "TYPE"] and ["k2", "a"] in [row.split() for row in table]


BAD_LINES = [
    (b"nonsense", "line 2: not JSON"),
    (b'["source"]', "line 3: must be a JSON object"),
    (b'{"source":"s","payload":{}}', 'line 4: "event_type" is missing'),
    (b'{"source":1,"event_type":"t","payload":{}}', 'line 5: "source" must be a string'),
    (b'{"source":"s","event_type":"t","payload":[]}', 'line 6: "payload" must be a JSON object'),
    (b'{"source":"a\\u0000b","event_type":"t","payload":{}}', 'line 7: "source" holds U+0000'),
    (b'{"source":" ","event_type":"t","payload":{}}', "line 8: source must have"),
    (b'{"source":"s","event_type":"t","payload":{},"event_id":"x"}', "line 9: event_id must be"),
    (b'{"source":"s","event_type":"t","payload":{"x":"' + b"y" * (2 << 20) + b'"}}', "line 10: "),
]


def test_ndjson_tells_wrong_lines_and_stores_the_others(cli, tmp_path):
    event_id = new_event_id()
    good = {"source": "s", "event_type": "t", "payload": {}, "event_id": event_id, "extra": 1}
    rows = [b"", *(line for line, _ in BAD_LINES), b"\r", json.dumps(good).encode()]
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(rows))
    done = cli("create", "--ndjson", "events.ndjson")
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    assert (summary["stored"], summary["failed"]) == (1, len(BAD_LINES))
    told = done.stderr.splitlines()
    assert len(told) == len(BAD_LINES)
    for _, text in BAD_LINES:
        assert any(line.startswith(f"triggers: {text}") for line in told), text
    assert lines(cli("get", event_id))[0]["event_id"] == event_id


def test_ndjson_payloads_pass_untouched(cli):
    event_id = new_event_id().encode()
    payload = PAYLOAD.replace(b"\n", b"")
    line = b'{"event_id":"%s","payload": %s ,"source":"s","event_type":"\\u0074"}' % (event_id, payload)
    done = cli("create", "--ndjson", "-", stdin=line)
    assert json.loads(done.stdout)["stored"] == 1, done.stderr
    assert cli("get", event_id.decode(), "--payload").stdout.encode() == payload
    assert lines(cli("get", event_id.decode()))[0]["event_type"] == "t"


def test_health(cli, store_name):
    (health,) = lines(cli("health"))
    assert health["status"] == "SERVING" and health["store"] == store_name
    assert cli("--output", "table", "health").stdout.startswith("SERVING, triggersd ")


@pytest.mark.concurrent
@pytest.mark.parametrize("op", ["create", "get", "inbox", "ack", "health"])
def test_bench_measures(cli, op):
    duration = "60" if op == "ack" else "0.3"  # it ends when all that was prepared is acknowledged
    done = cli("bench", "--op", op, "--duration", duration, "--concurrency", "20", "--prepare", "300")
    (result,) = lines(done)
    latency = result["latency_us"]
    assert result["op"] == op and result["calls"] > 0 and result["errors"] == {}
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    if op == "ack":
        assert result["events"] == 300


@pytest.mark.concurrent
def test_bench_counts_batches_and_failures(cli):
    options = ("--duration", "0.3", "--concurrency", "4")
    (result,) = lines(cli("bench", "--batch", "50", *options))
    assert result["events"] == 50 * result["calls"]
    done = cli("bench", "--batch", "1000", "--payload-bytes", "100000", *options)
    assert done.returncode == 1
    assert json.loads(done.stdout)["errors"] == {"MESSAGE_TOO_LARGE": 4}


def test_tables(cli):
    event_id = created(cli, "crm", "lead", '{"evil":"\\u001b"}')
    header, row, *_ = cli("inbox", "--output", "table", "--limit", "1").stdout.splitlines()
    assert header.split() == ["EVENT", "ID", "SEQUENCE", "CREATED", "SOURCE", "TYPE", "PAYLOAD"]
    assert row.split()[0] == event_id and row.index("crm") == header.index("SOURCE")
    assert int(row.split()[1]) > 0
    assert f"event id      {event_id}\n" in cli("get", event_id, "--output", "table").stdout
    header, row = cli("ack", event_id, "--output", "table").stdout.splitlines()
    assert header.split() == ["EVENT", "ID", "ACKNOWLEDGED"] and row.split()[0] == event_id
    header, row = cli("erase", event_id, "--output", "table").stdout.splitlines()
    assert header.split() == ["EVENT", "ID", "SEQUENCE"] and row.split()[0] == event_id
    assert row.split()[1].isdigit()


# Some C1 controls, marks that change the order of a text, separators of lines; and what is none of these.
HIDDEN = "\x80\x85\x9b\x9f\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
SHOWN = "\u00a0\u00e4\u05d0\u200d\u20ac\U0001f600"


@pytest.fixture
def on_terminal(core, tmp_path):
    """on_terminal(*words): what `triggers` shows on a terminal."""

    def show(*words):
        terminal, child_side = pty.openpty()
        with os.fdopen(terminal, "rb", buffering=0) as screen:
            child = subprocess.Popen(
                [str(program_path("triggers")), *words],
                env=clean_environment(tmp_path / "pty", {"TRIGGERS_CORE": core.url}),
                stdout=child_side,
            )
            os.close(child_side)
            text = b""
            try:
                while data := screen.read(65536):
                    text += data
            except OSError:  # the other side is closed
                pass
            assert child.wait() == 0
        return text.decode().replace("\r\n", "\n")

    return show


def is_clean(text):
    return not any(hidden in text for hidden in HIDDEN + "\x1b\x7f")


def test_what_commands_a_terminal_does_not_reach_a_table(cli):
    event_id = created(cli, f"a\x1b[2Jb{HIDDEN}c\x7f", "lead" + SHOWN, json.dumps({"x": HIDDEN}, ensure_ascii=False))
    for words in (["get", event_id], ["inbox", "--limit", "1"]):
        text = cli(*words, "--output", "table").stdout
        assert "a?[2jb" in text and is_clean(text)
    assert f"a?[2jb{'?' * len(HIDDEN)}c?" in cli("get", event_id, "--output", "table").stdout
    assert SHOWN in text


def test_what_commands_a_terminal_is_escaped_in_json(cli, on_terminal):
    """The value is the same. Programs get the payload byte for byte, terminals get it escaped."""
    payload = f'{{ "key{HIDDEN}\x7f" :\n "{SHOWN}{HIDDEN}" }}'
    source = f"a{HIDDEN}\x7f{SHOWN}"
    event_id = created(cli, source, "lead", payload)
    for words in (["get", event_id], ["inbox", "--limit", "1"]):
        done = cli(*words)
        event = json.loads(done.stdout)
        assert event["source"] == source and event["payload"] == json.loads(payload)
        assert is_clean(done.stdout.split('"payload":')[0])
        assert payload.replace("\n", " ") in done.stdout
        shown = on_terminal(*words, "--output", "json")
        assert json.loads(shown) == event and is_clean(shown) and SHOWN in shown
    assert cli("get", event_id, "--payload").stdout == payload
    shown = on_terminal("get", event_id, "--payload")
    assert json.loads(shown) == json.loads(payload) and is_clean(shown)
    assert shown.startswith('{ "key') and "\n" in shown


def test_what_commands_a_terminal_is_not_in_messages(cli):
    done = cli("get", f"evt_{HIDDEN}\x1b[2J")
    assert done.returncode == 1 and is_clean(done.stderr)


def test_output_that_cannot_be_written_fails(cli, core, tmp_path):
    created(cli, "crm", "lead")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [program_path("triggers"), "inbox", "--core", core.url],
            env=clean_environment(tmp_path / "full", {}),
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 1 and b"cannot write the output" in done.stderr


def test_options_may_stand_before_and_after_the_command(core, tmp_path):
    for words in (["--core", core.url, "health"], ["health", f"--core={core.url}"]):
        assert run("triggers", *words, folder=tmp_path).returncode == 0
