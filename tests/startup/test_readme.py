"""README.md is true: what its commands print is what it says they print, on a terminal, from its top to
its bottom, with core and bridge running as its quick start runs them. Ids, times and what was measured
differ from run to run: an id must be the same wherever the README says so, of the others the shape."""

import os
import pty
import re
import subprocess
import termios

import pytest

from support.network import DEADLINE, free_port, free_url
from support.program import ROOT, build_folder, clean_environment, sanitizer_reports
from support.runner import find_suites
from support.services import Bridge, Core

COMMAND = re.compile(r"^\$ (.*)")
EVENT_ID = re.compile(r"evt_[0-9a-z]{26}|(?<=this is the key )[0-9A-Za-z]{12}")
PROGRESS = re.compile(rb"[^\n]*\r\x1b\[K")  # a terminal shows what was written over it
SHAPES = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "TIME"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "SECOND"),
    (r"trg_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", "KEY"),
    (r"^(SECOND  )[0-9A-Za-z]{12}(  .*  )[0-9a-f]{16}$", r"\1KEY ID\2REQUEST"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r'(key: "request-id"\s+value:) "[0-9a-f]{16}"', r"\1 HEX"),
    (r'^body: ".*"$', "BODY"),
    (r"^(  (?:seconds|nanos):) \d+$", r"\1 N"),
    (r'"ack_id":"[A-Za-z0-9_-]+"', "ACK"),
    (r"\b\d+ bytes\b", "N bytes"),
    (r"\bin \d+\.\d{3} s$", "in N s"),
    (r"^(load .*), \d+\.\d+ s$", r"\1, N s"),
    (r"^(calls|events) +\d+ \(\d+/s\)$", r"\1 N (N/s)"),
    (r"^(latency \S+) +\d+\.\d{3} ms$", r"\1 N ms"),
]


def console_blocks(text):
    """What is typed and what it prints, block by block."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        steps = []
        for line in block.splitlines():
            typed = COMMAND.match(line)
            if typed:
                steps.append((typed[1], []))
            elif is_unfinished(steps[-1][0]):
                steps[-1] = (f"{steps[-1][0]}\n{line}", [])
            else:
                steps[-1][1].append(line)
        yield [(command, "\n".join(printed).strip()) for command, printed in steps]


def is_unfinished(command):
    """Whether the shell would go on reading: a here-document, a backslash, a pipe."""
    here = re.search(r"<<'(\w+)'", command)
    if here:
        return not command.endswith(f"\n{here[1]}")
    return command.endswith(("\\", "|"))


def shape(text):
    text = EVENT_ID.sub("ID", text)
    for pattern, token in SHAPES:
        text = re.sub(pattern, token, text, flags=re.MULTILINE)
    return text


class Shell:
    """bash as somebody at a terminal has it, whose programs' sanitizers report to `report`."""

    def __init__(self, folder, **settings):
        self.report = folder / "sanitizer-shell"
        (folder / ".curlrc").write_text("noproxy = *\n")
        self.output, terminal = pty.openpty()
        attributes = termios.tcgetattr(terminal)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(terminal, termios.TCSANOW, attributes)
        self.process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=clean_environment(self.report, {"CURL_HOME": folder, **settings}),
            stdin=subprocess.PIPE,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)

    def type(self, command):
        """What the command prints."""
        end = b"\n-- end --\n"
        self.process.stdin.write(command.encode() + b"\nprintf '\\n-- end --\\n'\n")
        self.process.stdin.flush()
        printed = b""
        while not printed.endswith(end):
            printed += os.read(self.output, 65536)
        return PROGRESS.sub(b"", printed[: -len(end)]).decode().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait(DEADLINE)
        os.close(self.output)
        assert not sanitizer_reports(self.report), sanitizer_reports(self.report)


@pytest.fixture
def checkout(tmp_path):
    """The folder of the README after the quick start built there."""
    (tmp_path / "proto").symlink_to(ROOT / "proto")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "release").symlink_to(build_folder())
    return tmp_path


@pytest.fixture
def addresses(checkout, started):
    """Core and bridge as the quick start runs them; where they are, by what the README calls that."""
    core = Core(checkout, DATABASE_URL=f"sqlite:///{checkout}/triggers.db").wait_serving()
    started.append(core)
    bridge = Bridge(checkout, core, API_PORT=free_port()).wait_answering("/ready")
    started.append(bridge)
    return {
        "http://localhost:8000": f"http://localhost:{bridge.port}",
        "ws://127.0.0.1:7300/rpc": core.url,
        "ws://127.0.0.1:7301/rpc": free_url("ws"),
        "ws://127.0.0.1:7302/rpc": free_url("ws"),
    }


def replace_all(text, names):
    for name, value in names.items():
        text = text.replace(name, value)
    return text


def test_every_command_prints_what_the_readme_says(checkout, addresses):
    shell = Shell(checkout, TRIGGERS_CORE=addresses["ws://127.0.0.1:7300/rpc"])
    ids = {}  # the README's: ours
    try:
        for command, expected in sum(console_blocks((ROOT / "README.md").read_text()), []):
            printed = shell.type(replace_all(command, {**addresses, **ids}))
            assert shape(printed) == shape(expected), command
            for told, ours in zip(EVENT_ID.findall(expected), EVENT_ID.findall(printed), strict=True):
                assert ids.setdefault(told, ours) == ours, f"{command}: {printed}"
        assert len(set(ids.values())) == len(ids) >= 4
    finally:
        shell.close()


PAGES = ["README.md", "src/README.md", "deploy/README.md"]
PAGES += [f".github/{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")]


def headings(page):
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in found]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text()):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            other = (ROOT / page).parent / path if path else ROOT / page
            assert other.exists(), target
            assert not anchor or anchor in headings(other), target


def test_files_that_the_architecture_names_exist():
    text = (ROOT / "src" / "README.md").read_text()
    names = re.findall(r"\b((?:sp|net|rpc|service|events|store|daemon|import|base)/(?:[\w*]+/)*\w+\.[ch])\b", text)
    assert len(names) > 20
    assert [name for name in names if not list((ROOT / "src").glob(name))] == []


def test_the_changelog_begins_with_the_version_that_is_built():
    version = re.search(r"version: '(.*)'", (ROOT / "meson.build").read_text())[1]
    assert headings(ROOT / ".github" / "CHANGELOG.md")[1].startswith(version.replace(".", ""))


def test_the_layout_of_the_code_is_the_one_there_is():
    text = (ROOT / "README.md").read_text()
    layout = text[text.index("## Layout of the code") :]
    for name in re.findall(r"^([a-z]+/\S*) ", layout, re.MULTILINE):
        assert list(ROOT.glob(name)), name
    for name in re.findall(r"`(src/\S+?)`", layout):
        assert list(ROOT.glob(name)), name


def test_readme_and_manuals_tell_the_settings_as_the_programs_do():
    words = [ROOT / "deploy" / "man" / "settings", "--check", build_folder()]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def bare_folder(tmp_path):
    """A PATH of a machine on which nothing was installed yet, not even Python."""
    for name in ("bash", "cat", "cut", "dirname", "env", "fold", "paste", "sed", "uniq"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    return str(tmp_path)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_the_tests_say_what_they_are_before_anything_is_installed(tmp_path, word):
    done = subprocess.run(
        [ROOT / "tests" / "run", word],
        env={"PATH": bare_folder(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert all(option in done.stdout for option in ("--ci", "--all", "--long"))
    assert done.stdout[done.stdout.index("of:") + 3 :].split() == list(find_suites())


@pytest.mark.parametrize("word", ["nope", "--fast", "star*"])
def test_the_tests_refuse_a_name_that_is_none_at_once(tmp_path, word):
    done = subprocess.run(
        [ROOT / "tests" / "run", "rest", word],
        env={"PATH": bare_folder(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == f"run: there is no suite or option '{word}'; see --help\n"
