"""The command line itself: help, wrong words, completion, and what a terminal sees. No core."""

import json
import os
import pty
import re
import shutil
import subprocess

import pytest

from support.network import free_port
from support.program import clean_environment, program_path, run

COMMANDS = ["create", "inbox", "tail", "kinds", "get", "ack", "erase", "subscriptions", "consume"]
COMMANDS += ["dead-letters", "seek", "tenants", "keys", "audit", "health", "bench", "backup", "help", "completion"]


@pytest.fixture
def triggers(tmp_path):
    def call(*arguments, **settings):
        return run("triggers", *arguments, folder=tmp_path, **settings)

    return call


def test_help_lists_commands_options_and_exit_statuses(triggers):
    for words in (["--help"], ["help"]):
        done = triggers(*words)
        assert done.returncode == 0 and done.stderr == ""
        for text in (*COMMANDS, "TRIGGERS_CORE", "TRIGGERS_TLS_CA", "Exit status:", "Examples:"):
            assert text in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples(triggers, command):
    helped = triggers(command, "--help").stdout
    assert helped == triggers("help", command).stdout == triggers("--help", command).stdout
    assert f"Usage: triggers {command}" in helped and "Example" in helped


def test_version(triggers):
    done = triggers("--version")
    assert done.returncode == 0 and done.stdout.startswith("triggers ")


WRONG = [
    ([], "no command"),
    (["bogus"], "unknown command 'bogus'"),
    (["help", "bogus"], "unknown command 'bogus'"),
    (["--bogus", "health"], "unknown option --bogus"),
    (["inbox", "--limit"], "--limit needs a value"),
    (["inbox", "--limit", "0"], "from 1 to"),
    (["inbox", "--limit", "1x"], "whole numbers"),
    (["inbox", "--order", "up"], "newest and oldest"),
    (["inbox", "--all", "--limit", "3"], "exclude each other"),
    (["inbox", "--follow", "--order", "newest"], "oldest first"),
    (["inbox", "--follow", "--status", "acknowledged"], "as they come"),
    (["inbox", "--follow", "--until", "1h"], "exclude each other"),
    (["inbox", "--after", "1"], "--follow"),
    (["inbox", "evt_1"], "no arguments"),
    (["inbox", "--since", "2x"], "2026-01-31T12:00:00Z"),
    (["inbox", "--since", "2026-02-30"], "2026-01-31T12:00:00Z"),
    (["inbox", "--since", "2026-02-28T12:00:00"], "2026-01-31T12:00:00Z"),
    (["inbox", *["--source=crm"] * 101], "100 times"),
    (["tail", "evt_1"], "no arguments"),
    (["tail", "--after", "1", "--last", "1"], "exclude each other"),
    (["tail", "--after", "-1"], "from 0 to"),
    (["tail", "--after", "9223372036854775808"], "from 0 to"),
    (["tail", "--last", "10001"], "from 0 to 10000"),
    (["kinds", "crm"], "no arguments"),
    (["consume"], "name of a subscription"),
    (["consume", "a", "b"], "name of a subscription"),
    (["consume", "a", "--ack", "--exec", "true"], "exclude each other"),
    (["consume", "a", "--concurrency", "2"], "--exec"),
    (["consume", "a", "--exec", "true", "--concurrency", "1001"], "from 1 to 1000"),
    (["subscriptions", "make", "a"], "create, update, get and delete"),
    (["subscriptions", "create"], "one name"),
    (["subscriptions", "--pause"], "create and update"),
    (["subscriptions", "get", "a", "--lease", "3"], "create and update"),
    (["subscriptions", "update", "a", "--start", "latest"], "triggers seek"),
    (["subscriptions", "update", "a", "--pause", "--resume"], "exclude each other"),
    (["subscriptions", "create", "a", "--acknowledge-in-inbox", "maybe"], "no and yes"),
    (["dead-letters"], "name of a subscription"),
    (["dead-letters", "a", "evt_1"], "--redrive"),
    (["dead-letters", "a", "--redrive"], "--all"),
    (["dead-letters", "a", "--redrive", "--all", "evt_1"], "--all"),
    (["dead-letters", "a", "--redrive", "--delete", "--all"], "exclude each other"),
    (["dead-letters", "a", "--redrive", "--all", "--source", "crm"], "filter"),
    (["dead-letters", "a", "--delete", "--all", "--rate", "1"], "--rate"),
    (["seek", "a"], "SUBSCRIPTION POSITION"),
    (["tenants", "make", "a"], "list, show, put, suspend, resume and delete"),
    (["tenants", "show"], "one name or id"),
    (["tenants", "put", "a", "--keep-pending", "0s"], "such as 30d, or forever"),
    (["tenants", "suspend", "a", "--keep-pending", "1d"], "go with put"),
    (["tenants", "put", "a", "--wait"], "goes with delete"),
    (["keys", "show"], "one name or id"),
    (["keys", "list", "a"], "no further words"),
    (["keys", "create", "--name", "a"], "--scope"),
    (["keys", "create", "--scope", "events:write"], "--name"),
    (["keys", "create", "--name", "a", "--scope", "events:write,none"], "does not accept 'none'"),
    (["keys", "create", "--name", "a", "--scope", "events"], "events:write, events:read"),
    (["keys", "create", "--name", "a", "--scope", "operator", "--expires", "soon"], "from now"),
    (["keys", "rotate", "a", "--overlap", "31d"], "up to 2592000s"),
    (["keys", "rotate", "a", "--scope", "operator"], "goes with create"),
    (["keys", "revoke", "a", "--expires", "1d"], "create and rotate"),
    (["keys", "create", "--name", "a", "--scope", "operator", "--overlap", "1d"], "with rotate"),
    (["keys", "create", "--operator"], "--database-url, or DATABASE_URL"),
    (["keys", "create", "--operator", "--scope", "events:write"], "every scope"),
    (["keys", "create", "--operator", "--tenant", "acme"], "tenant default"),
    (["keys", "list", "--operator"], "goes with create"),
    (["keys", "create", "--name", "a", "--scope", "operator", "--database-url", "x"], "--operator"),
    (["keys", "create", "--operator", "--database-url", "mysql://x"], "sqlite"),
    (["audit", "show"], "list and export"),
    (["audit", "export", "--limit", "1"], "goes with list"),
    (["--timeout", "0", "health"], "seconds"),
    (["--timeout", "nan", "health"], "seconds"),
    (["--timeout", "30.001", "health"], "up to 30"),
    (["--output", "xml", "health"], "json, table and text"),
    (["get"], "one event id"),
    (["get", "evt_1", "evt_2"], "one event id"),
    (["create", "crm"], "SOURCE TYPE [PAYLOAD]"),
    (["create", "--ndjson", "a", "b"], "one file"),
    (["create", "--ndjson", "--id", "evt_1"], "--id"),
    (["bench", "--concurrency", "0"], "from 1 to"),
    (["bench", "--op", "delete"], "create, get, inbox, ack and health"),
    (["backup", "triggers.db"], "FILE COPY"),
    (["completion", "tcsh"], "bash, zsh and fish"),
    (["--core", "http://127.0.0.1:1", "health"], "ws://"),
    (["--core", "wss://127.0.0.1:1/rpc", "health"], "certificates to trust"),
    (["--core", "wss://127.0.0.1:1/rpc", "--ca", "/nowhere.pem", "health"], "/nowhere.pem"),
]


@pytest.mark.parametrize("words, text", WRONG, ids=lambda value: " ".join(value)[:40])
def test_wrong_command_lines_are_exit_status_2(triggers, words, text):
    done = triggers(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("triggers: ") and done.stderr.count("\n") == 1
    assert text in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["create", "crm", "lead"],
        ["inbox"],
        ["inbox", "--follow"],
        ["inbox", "--follow", "--after", "1"],
        ["tail"],
        ["tail", "--after", "1", "--no-follow"],
        ["kinds"],
        ["get", "evt_1"],
        ["ack", "evt_1"],
        ["erase", "evt_1", "evt_2"],
        ["subscriptions"],
        ["subscriptions", "create", "a"],
        ["consume", "a"],
        ["dead-letters", "a"],
        ["dead-letters", "a", "--redrive", "evt_1"],
        ["seek", "a", "latest"],
        ["tenants"],
        ["tenants", "delete", "a", "--wait"],
        ["keys"],
        ["keys", "create", "--name", "a", "--scope", "Events_Write"],
        ["keys", "revoke", "a"],
        ["audit"],
        ["health"],
        ["bench", "--op", "get"],
    ],
    ids=" ".join,
)
def test_no_core_is_exit_status_4(triggers, words):
    url = f"ws://127.0.0.1:{free_port()}/rpc"
    done = triggers(*words, "--output", "json", TRIGGERS_CORE=url)
    assert done.returncode == 4 and done.stdout == ""
    assert "(CORE_UNREACHABLE)" in done.stderr and url in done.stderr
    assert done.stderr.count("\n") == 1


WRONG_KEYS = [
    ({"TRIGGERS_API_KEY": "secret word"}, "TRIGGERS_API_KEY: that is no key"),
    ({"TRIGGERS_API_KEY": "secret" * 50}, "TRIGGERS_API_KEY: that is no key"),
    ({"TRIGGERS_API_KEY": " \n"}, "TRIGGERS_API_KEY: there is no key"),
    ({"TRIGGERS_API_KEY_FILE": "/nowhere"}, "TRIGGERS_API_KEY_FILE: cannot read /nowhere"),
    ({"TRIGGERS_API_KEY_FILE": "/dev/null"}, "TRIGGERS_API_KEY_FILE: there is no key"),
    ({"TRIGGERS_API_KEY_FILE": "/dev/zero"}, "TRIGGERS_API_KEY_FILE: that is no key"),
    ({"TRIGGERS_API_KEY_COMMAND": "echo secret; exit 3"}, "the command failed (exit status 3)"),
    ({"TRIGGERS_API_KEY_COMMAND": "kill $$"}, "the command failed (signal 15)"),
    ({"TRIGGERS_API_KEY_COMMAND": "echo secret word"}, "TRIGGERS_API_KEY_COMMAND: that is no key"),
    ({"TRIGGERS_API_KEY_COMMAND": "yes secret"}, "TRIGGERS_API_KEY_COMMAND: that is no key"),
    ({"TRIGGERS_API_KEY_COMMAND": "cat"}, "TRIGGERS_API_KEY_COMMAND: there is no key"),
    ({"TRIGGERS_API_KEY": "secret", "TRIGGERS_API_KEY_FILE": "/dev/null"}, "set one only"),
]


@pytest.mark.parametrize("settings, text", WRONG_KEYS, ids=lambda value: str(value)[:60])
def test_what_is_no_key_is_exit_status_2(triggers, settings, text):
    done = triggers("get", "evt_1", **settings)
    assert done.returncode == 2 and done.stdout == ""
    assert text in done.stderr and done.stderr.count("\n") == 1
    assert "secret" not in done.stderr.replace("echo secret", "")


def test_an_import_without_a_core_says_how_far_it_came(tmp_path):
    done = run(
        *("triggers", "create", "--ndjson"),
        folder=tmp_path,
        stdin=b'{"source":"s","event_type":"t","payload":{}}\n' * 3,
        TRIGGERS_CORE=f"ws://127.0.0.1:{free_port()}/rpc",
    )
    assert done.returncode == 4
    assert "lines 1 to 3: " in done.stderr and "(CORE_UNREACHABLE)" in done.stderr
    assert '"stored":0,"failed":3' in done.stdout


def test_an_option_wins_over_the_environment_and_empty_is_unset(triggers):
    done = triggers("health", "--core", "http://x", TRIGGERS_CORE="gopher://y")
    assert "http://x" in done.stderr
    done = triggers("health", "--timeout", "0.2", TRIGGERS_CORE="")
    assert done.returncode in (0, 4)  # the default address, where a core may or may not be


def test_on_a_terminal_output_is_a_table(tmp_path):
    terminal, child_side = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [program_path("triggers"), "inbox"],
            env=clean_environment(
                tmp_path / "pty", {"TRIGGERS_CORE": f"ws://127.0.0.1:{free_port()}/rpc"}
            ),
            stdin=subprocess.DEVNULL,
            stdout=child_side,
            stderr=subprocess.DEVNULL,
        )
        os.close(child_side)
        shown = screen.read(200)
        assert process.wait(30) == 4
    assert shown.startswith(b"EVENT ID")


def complete(triggers, words):
    """What bash offers for the last of the words."""
    script = triggers("completion", "bash").stdout
    quoted = " ".join(f"'{word}'" for word in words)
    script += f"\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _triggers\n"
    script += 'printf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completion_offers_commands_options_and_values(triggers):
    assert complete(triggers, ["triggers", ""]) == COMMANDS
    assert complete(triggers, ["triggers", "he"]) == ["health", "help"]
    assert "--limit" in complete(triggers, ["triggers", "inbox", "--"])
    assert "--limit" not in complete(triggers, ["triggers", "get", "--"])
    assert complete(triggers, ["triggers", "inbox", "--status", "a"]) == ["acknowledged"]
    assert complete(triggers, ["triggers", "--output", ""]) == ["json", "table", "text"]
    assert complete(triggers, ["triggers", "completion", ""]) == ["bash", "zsh", "fish"]
    assert "/etc/passwd" in complete(triggers, ["triggers", "backup", "/etc/pass"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_parse(triggers, shell):
    script = triggers("completion", shell).stdout
    assert all(command in script for command in COMMANDS)
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_a_generated_key_is_a_text_of_a_key(triggers):
    keys = {triggers("keys", "generate").stdout for _ in range(2)}
    assert len(keys) == 2 and all(re.fullmatch(r"trg_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\n", key) for key in keys)
    assert list(json.loads(triggers("keys", "generate", "--output", "json").stdout)) == ["key"]
