"""deploy/quickstart end to end: as a new user runs it, from another folder, twice."""

import os
import re
import signal
import subprocess
import threading

import httpx
import pytest

from support.certificates import make_certificate
from support.network import free_port, listeners, wait_until
from support.program import ROOT, without_settings
from support.rpc import RpcClient

BUILD_SECONDS = 300  # the release build, when it is the first


class Quickstart:
    """A running quickstart in a process group of its own, as a terminal gives it."""

    def __init__(self, root, folder, **settings):
        environment = without_settings()
        environment.update({name: str(value) for name, value in settings.items()})
        self.lines = []
        self.process = subprocess.Popen(
            [root / "deploy" / "quickstart"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self.process.stdout as pipe:
            for line in pipe:
                self.lines.append(line.rstrip("\n"))

    @property
    def text(self):
        return "\n".join(self.lines)

    def wait_running(self):
        def shown():
            assert self.process.poll() is None, self.text
            return "Ctrl-C stops it." in self.text

        wait_until(shown, "quickstart running", BUILD_SECONDS)
        return self

    def wait(self):
        status = self.process.wait(60)
        self._reader.join(10)
        assert not self._reader.is_alive(), f"somebody still writes: {self.text}"
        return status

    def interrupt(self):
        """Ctrl-C: the signal goes to the whole group of the foreground process."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.wait()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout whose files are links to ours, with a build folder of its own."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name not in (".git", "build") and not path.name.startswith("triggers.db"):
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def root(checkout):
    """The checkout; what the test leaves in its data file goes away."""
    yield checkout
    for path in checkout.glob("triggers.db*"):
        path.unlink()


@pytest.fixture
def quickstart(root, tmp_path):
    """quickstart(**settings) on ports of its own; stopped at the end."""
    running = []

    def start(**settings):
        settings.setdefault("API_PORT", free_port())
        settings.setdefault("TRIGGERS_LISTEN", f"ws://127.0.0.1:{free_port()}/rpc")
        running.append(Quickstart(root, tmp_path, **settings))
        running[-1].port = settings["API_PORT"]
        running[-1].core_url = settings["TRIGGERS_LISTEN"]
        return running[-1]

    yield start
    for one in running:
        one.close()


def post(port, source):
    event = {"source": source, "event_type": "lead.created", "payload": {"name": "Ada"}}
    answer = httpx.post(f"http://127.0.0.1:{port}/api/v1/events", json=event, trust_env=False)
    assert answer.status_code == 201, answer.text
    return answer.json()["event_id"]


def inbox(port):
    answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/inbox", trust_env=False)
    return [event["event_id"] for event in answer.json()["events"]]


def test_events_are_there_again_in_the_second_run(quickstart, root):
    first = quickstart().wait_running()
    event_id = post(first.port, "crm")
    with RpcClient(first.core_url) as rpc:
        assert rpc.event("GetEvent", event_id=event_id).event.source == "crm"
    assert first.interrupt() == 0, first.text
    assert (root / "triggers.db").exists()
    second = quickstart().wait_running()
    assert inbox(second.port) == [event_id]
    second.process.terminate()
    assert second.wait() == 0, second.text


def test_says_where_it_listens_and_shows_both_logs(quickstart):
    running = quickstart().wait_running()
    assert f":{running.port}" in running.text and running.core_url in running.text
    assert len(re.findall(r"^  curl ", running.text, re.MULTILINE)) == 3
    assert running.interrupt() == 0
    assert re.search(r"^core   \| .*stopped", running.text, re.MULTILINE), running.text
    bridge_end = running.text.rindex("\nbridge | ")
    core_end = running.text.rindex("\ncore   | ")
    assert bridge_end < core_end, "the bridge stops before its core"


def test_listens_on_this_machine_alone_and_says_so(quickstart):
    running = quickstart().wait_running()
    assert listeners(running.port) == {"127.0.0.1"}
    assert "Only programs on this machine; API_HOST=0.0.0.0 opens" in running.text
    assert "calls need no key" in running.text
    assert "Any web page in a browser here may use the REST API" in running.text


def test_says_what_is_open_when_told_to_open_it(quickstart):
    listen = f"ws://127.0.0.1:{free_port()}/rpc,tcp://0.0.0.0:{free_port()}"
    running = quickstart(
        API_HOST="0.0.0.0", TRIGGERS_LISTEN=listen, CORS_ORIGINS="https://app.example.com"
    ).wait_running()
    assert listeners(running.port) == {"0.0.0.0"}
    assert "Everyone who reaches this machine may use the REST API." in running.text
    assert f"may use {listen.split(',')[1]}." in running.text
    assert "Only web pages of https://app.example.com may use the REST API." in running.text


def test_the_curl_lines_work_as_printed(quickstart):
    running = quickstart().wait_running()
    create, list_, acknowledge = re.findall(r"^  (curl .*)$", running.text, re.MULTILINE)

    def shell(line):
        return subprocess.run(
            line.replace("curl ", "curl -sf --noproxy '*' ", 1),
            shell=True,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    event_id = re.search(r'"event_id":"(evt_\w{26})"', shell(create)).group(1)
    assert event_id in shell(list_)
    assert "acknowledged" in shell(acknowledge.replace("EVENT_ID", event_id))
    assert event_id not in shell(list_)


def test_with_keys_and_https_it_says_what_calls_need(quickstart, root, tmp_path):
    certificate, private = make_certificate(tmp_path)
    running = quickstart(TRIGGERS_AUTH="required", API_TLS_CERT=certificate, API_TLS_KEY=private).wait_running()
    make = re.search(r"^  (.* keys create .*)$", running.text, re.MULTILINE).group(1)
    key = subprocess.run(make, shell=True, capture_output=True, text=True, check=True).stdout.strip()
    line = re.search(r"^  (curl .*inbox.*)$", running.text, re.MULTILINE).group(1)
    line = line.replace("FILE_OF_THE_CA", str(certificate)).replace("KEY", key)
    line = line.replace("curl ", "curl -sf --noproxy '*' ", 1)
    wait_until(lambda: subprocess.run(line, shell=True).returncode == 0, "the core knows the key")


def test_the_command_line_is_where_it_says_and_the_readme(quickstart, root):
    running = quickstart().wait_running()
    program = root / "build" / "release" / "clients" / "cli" / "triggers"
    assert f"\n  command line     {program}\n" in running.text
    assert "PATH=$PWD/build/release/clients/cli:$PATH" in (root / "README.md").read_text()
    words = [program, "health", "--core", running.core_url]
    assert subprocess.run(words, capture_output=True, text=True).stdout.startswith("{")


def test_postgres_by_database_url(quickstart, postgres):
    running = quickstart(DATABASE_URL=postgres.create_database()).wait_running()
    assert inbox(running.port) == [] and post(running.port, "crm")
    assert running.interrupt() == 0
    assert not any(secret in running.text for secret in postgres.secrets())


def test_port_in_use_is_one_clear_line(quickstart):
    running = quickstart().wait_running()
    for settings, variable in (
        ({"API_PORT": running.port}, "API_PORT"),
        ({"TRIGGERS_LISTEN": running.core_url}, "TRIGGERS_LISTEN"),
    ):
        second = quickstart(**settings)
        assert second.wait() == 1
        assert len(second.lines) == 1, second.text
        assert variable in second.lines[0] and "in use" in second.lines[0]
    assert inbox(running.port) == []


def test_a_program_that_dies_ends_it(quickstart):
    running = quickstart().wait_running()
    group = subprocess.run(
        ["pgrep", "-P", str(running.process.pid), "-f", "triggersd"], capture_output=True, text=True
    )
    os.kill(int(group.stdout.split()[0]), signal.SIGKILL)
    assert running.wait() == 1
    assert "triggersd ended with exit status 137" in running.lines[-1]
    with pytest.raises(httpx.ConnectError):
        inbox(running.port)


def test_a_bad_setting_ends_it_with_the_programs_own_words(quickstart):
    running = quickstart(TRIGGERS_MAX_PAYLOAD="lots")
    assert running.wait() == 1
    assert "TRIGGERS_MAX_PAYLOAD" in running.text
    assert "ended with exit status 2" in running.lines[-1]


def test_help(root):
    done = subprocess.run(
        [root / "deploy" / "quickstart", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "DATABASE_URL" in done.stdout
