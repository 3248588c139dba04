"""The examples in every binding's README do what they say."""

import itertools
import os
import re
import signal
import subprocess
import threading

import pytest

from bindings.harness import RUN_SECONDS
from support.keys import make_key
from support.program import ROOT, clean_environment
from support.protocol import events


WORKER_SECONDS = 120  # it is built by then
INTERRUPTED = 128 + signal.SIGINT  # the exit status of a Java program that stopped well after a signal


def run_example(binding, name, core, **settings):
    environment = clean_environment(core.report, {"TRIGGERS_CORE": core.url, **settings})
    done = subprocess.run(
        [str(word) for word in binding.command("examples/run", name)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


def ids_in(lines):
    return [line.split()[0] for line in lines if line.startswith("evt_")]


def test_producer_and_consumer(binding, start_core):
    core = start_core()
    made = ids_in(run_example(binding, "producer", core))
    assert made
    assert ids_in(run_example(binding, "consumer", core)) == made
    with core.client() as rpc:
        assert not rpc.event("ListInbox").events
        acknowledged = rpc.event("ListInbox", status=events.EVENT_STATUS_ACKNOWLEDGED).events
    assert {event.event_id for event in acknowledged} == set(made)


def test_producer_and_consumer_have_a_key(binding, start_core):
    key = make_key()
    core = start_core(TRIGGERS_AUTH="required", TRIGGERS_OPERATOR_KEY=key)
    made = ids_in(run_example(binding, "producer", core, TRIGGERS_API_KEY=key))
    assert made
    assert ids_in(run_example(binding, "consumer", core, TRIGGERS_API_KEY=key)) == made


def test_consumer_of_an_empty_inbox_ends(binding, start_core):
    assert not [line for line in run_example(binding, "consumer", start_core()) if "evt_" in line]


def test_a_worker_handles_everything_until_it_is_interrupted(binding, start_core):
    core = start_core()
    made = ids_in(run_example(binding, "producer", core))
    # A shell ignores SIGINT for what it starts in the background, and what is ignored is inherited.
    words = ["env", "--default-signal=INT", *map(str, binding.command("examples/run", "worker"))]
    environment = clean_environment(core.report, {"TRIGGERS_CORE": core.url})
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as worker:
        limit = threading.Timer(WORKER_SECONDS, os.killpg, [worker.pid, signal.SIGKILL])
        limit.start()
        shown = ids_in(itertools.islice((line for line in worker.stdout if "evt_" in line), len(made)))
        if len(shown) == len(made):
            os.killpg(worker.pid, signal.SIGINT)
        status = worker.wait()
        limit.cancel()
    assert status in (0, INTERRUPTED), f"{shown} of {made}"
    assert sorted(shown) == sorted(made)
    with core.client() as rpc:
        assert not rpc.event("ListInbox").events


@pytest.mark.parametrize("name", ["producer", "consumer", "worker"])
def test_readme_shows_the_examples(binding, name):
    """As they are, but for lines of a language's packaging that a reader need not see."""
    readme = (binding.folder / "README.md").read_text()
    files = [
        path
        for path in (binding.folder / "examples").rglob(f"{name}.*")
        if "node_modules" not in path.parts and "target" not in path.parts
    ] + list((binding.folder / "examples").rglob(f"{name.capitalize()}.*"))
    files += (binding.folder / "examples" / name).glob("main.*")
    assert files, f"no examples/{name}.* in {binding.folder}"
    assert any(path.read_text().strip() in readme for path in files), f"{files} not in the README"


def quick_start(binding):
    """The commands of the README's quick start, a line each."""
    readme = (binding.folder / "README.md").read_text()
    start = re.search(r"## Quick start\n.*?```sh\n(.*?)```", readme, re.DOTALL)
    assert start, "no section 'Quick start' with a block of sh"
    return start.group(1).splitlines()


def test_quick_start_is_five_commands_at_most(binding):
    assert len(quick_start(binding)) <= 5


def test_quick_start_in_an_empty_folder(binding, start_core, tmp_path):
    if binding.compiled:
        pytest.skip("it installs into the system; test_install does so elsewhere")
    if binding.arguments:
        pytest.skip("another binding has the same README")
    core = start_core()
    settings = {"TRIGGERS": ROOT, "TRIGGERS_CORE": core.url}
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(quick_start(binding))],
        cwd=tmp_path,
        env=clean_environment(core.report, settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    shown = re.findall(r"evt_\w{26}", done.stdout)
    made, taken = shown[: len(shown) // 2], shown[len(shown) // 2 :]
    assert made and made == taken, done.stdout
    with core.client() as rpc:
        assert not rpc.event("ListInbox").events
