"""Runs a binding's conformance program against a live core and does what its scenarios ask for; see
clients/conformance/README.md."""

import json
import os
import shutil
import signal
import subprocess
import threading

from bindings.keyed import KeyedCore
from bindings.scripted import ScriptedCore, check_requests
from support.certificates import make_certificate
from support.keys import OPERATOR_KEY
from support.network import free_port
from support.program import ROOT, clean_environment, sanitizer_reports
from support.rpc import BareClient
from support.services import Core

CONFORMANCE = ROOT / "clients" / "conformance"
RUN_SECONDS = 900  # for all scenarios of one binding, its build included
VECTORS = ["vectors/envelope", "vectors/typeid"]


def project_version():
    """The one version number, as meson.build has it."""
    text = (ROOT / "meson.build").read_text()
    return text.split("version: '", 1)[1].split("'", 1)[0]


def scenario_files():
    """The name of each file and its scenarios, in the order in which they are run."""
    for path in sorted((CONFORMANCE / "scenarios").glob("*.json")):
        yield path.name, json.loads(path.read_text())


def folder_for(world):
    """The conformance folder for a runner: with a key in all scenarios that are of a core which requires one."""
    if not world.key:
        return CONFORMANCE
    made = world.folder / "conformance"
    shutil.copytree(CONFORMANCE, made, dirs_exist_ok=True)
    for name, scenarios in scenario_files():
        (made / "scenarios" / name).write_text(json.dumps([with_key(each) for each in scenarios]))
    return made


def with_key(scenario):
    client = scenario.get("client", {"urls": ["$url"]})
    others = {"$script_url", "$script_tcp_url", "$keyed_url"}  # of which the scenario says what it sends
    if others & set(client["urls"]):
        return scenario
    return {**scenario, "client": {"api_key": "$key", **client}}


def scenario_names():
    """Every scenario and vector file that a binding has to report."""
    names = [scenario["name"] for _, file in scenario_files() for scenario in file]
    assert len(set(names)) == len(names), "two scenarios have one name"
    return names + VECTORS


def look_up(message, path):
    """What a path of fields and numbers leads to in a message; of lists and texts their length."""
    for name in path.split("."):
        if name == "length":
            return len(message)
        message = message[int(name)] if name.isdigit() else getattr(message, name)
    return message


class World:
    """The core of one run, its addresses, and the actions on it; `key` is the one that it requires, None when
    calls need none."""

    def __init__(self, folder, new_store_url, keyed=False):
        self.folder = folder
        self.key = OPERATOR_KEY if keyed else None
        self._new_store_url = new_store_url
        self._later = None
        certificate, key = make_certificate(folder)
        other, _ = make_certificate(folder, "other")
        self._settings = {
            "TRIGGERS_LISTEN": ",".join(
                [
                    f"ws://127.0.0.1:{free_port()}/rpc",
                    f"tcp://127.0.0.1:{free_port()}",
                    f"wss://127.0.0.1:{free_port()}/rpc",
                ]
            ),
            "TRIGGERS_TLS_CERT": certificate,
            "TRIGGERS_TLS_KEY": key,
            "DATABASE_URL": new_store_url(),
            "TRIGGERS_AUTH": "required" if keyed else "off",
            "TRIGGERS_OPERATOR_KEY": OPERATOR_KEY,
        }
        self.core = None
        self._paused = False
        self._keyed = None
        self._scripted = ScriptedCore(f"ws://127.0.0.1:{free_port()}/rpc", f"tcp://127.0.0.1:{free_port()}")
        try:
            self.start()
            self._keyed = KeyedCore(folder / "keyed", new_store_url(), OPERATOR_KEY)
        except BaseException:
            self.close()
            raise
        url, tcp_url, wss_url = self.core.urls
        self.variables = {
            "url": url,
            "tcp_url": tcp_url,
            "wss_url": wss_url.replace("127.0.0.1", "localhost"),  # as certificates have it
            "ca_file": str(certificate),
            "other_ca_file": str(other),
            "dead_url": f"ws://127.0.0.1:{free_port()}/rpc",
            "script_url": self._scripted.url,
            "script_tcp_url": self._scripted.tcp_url,
            **self._keyed.variables,
        }

    def act(self, wish):
        """Does what a harness step asks for; returns what went wrong, "" for nothing."""
        action = wish.get("action")
        if action == "script":
            self._scripted.run(wish["replies"])
        elif action == "expect_requests":
            return check_requests(self._scripted.sent(), wish, project_version())
        elif action == "start_later":
            self._later = threading.Timer(wish["after_ms"] / 1000, self._launch)
            self._later.start()
        elif action == "create_later":
            self._later = threading.Timer(wish["after_ms"] / 1000, self._create, [wish["event"]])
            self._later.start()
        elif action == "restart_later":
            self._later = threading.Timer(wish["after_ms"] / 1000, self.restart)
            self._later.start()
        elif action == "subscription":
            return self._subscription(wish)
        elif action == "revoke":
            self._keyed.revoke(wish["key"])
        elif action == "revoke_later":
            self._later = threading.Timer(wish["after_ms"] / 1000, self._keyed.revoke, [wish["key"]])
            self._later.start()
        elif action == "rotate_later":
            self._later = threading.Timer(wish["after_ms"] / 1000, self._keyed.rotate_file, [wish.get("event")])
            self._later.start()
        elif action == "await_later":
            self._later.join()
        elif action in ("restart", "stop", "start", "empty_store", "pause", "resume"):
            getattr(self, action)()
        else:
            return f"the harness has no action {action!r}"
        return ""

    def _launch(self):
        self.core = Core(self.folder, **self._settings)

    def _create(self, event):
        client = BareClient(self.core.urls[1], self.key)
        client.create(event["source"], event["event_type"], event["payload"].encode())
        client.close()

    def _subscription(self, wish):
        """Makes a call of SubscriptionService; returns how its answer differs from what is expected."""
        client = BareClient(self.core.urls[1], self.key)
        try:
            answer = client.subscription(wish["method"], **wish["request"])
        finally:
            client.close()
        found = {path: look_up(answer, path) for path in wish.get("expect", {})}
        return "" if found == wish.get("expect", {}) else f"{wish['method']}: {found}"

    def start(self):
        self._launch()
        self.core.wait_serving()

    def stop(self):
        self.core.stop()

    def restart(self):
        self.stop()
        self.start()

    def empty_store(self):
        self.stop()
        self._settings["DATABASE_URL"] = self._new_store_url()
        self.start()

    def pause(self):
        self.core.process.send_signal(signal.SIGSTOP)
        self._paused = True
        os.waitid(os.P_PID, self.core.process.pid, os.WSTOPPED)  # fast clients reached it before

    def resume(self):
        self.core.process.send_signal(signal.SIGCONT)
        self._paused = False

    def settle(self):
        """After a scenario, whatever it left behind: the core runs and answers."""
        if self._later:
            self._later.join()
            self._later = None
            self.core.wait_serving()
        if self._paused:
            self.resume()
        if not self.core.running:
            self.start()

    def close(self):
        if self._later:
            self._later.join()
        self._scripted.close()
        if self._keyed:
            self._keyed.close()
        if self.core:
            if self._paused:
                self.resume()
            self.core.stop()


class Results(dict):
    """Scenario → "" when it passed, else what differed."""

    def of(self, scenario):
        return self.get(scenario, f"not reported; {self.end}")

    end = "the runner did not start"


def run_binding(binding, world):
    """Runs all scenarios of a binding; returns Results."""
    results = Results()
    report = world.folder / f"sanitizer-{binding.name}"
    environment = clean_environment(report, {})
    environment.pop("TRIGGERS_API_KEY", None)  # scenarios say which clients have one
    environment["TRIGGERS_CONFORMANCE"] = str(folder_for(world))
    environment["TRIGGERS_CONFORMANCE_VARIABLES"] = json.dumps(world.variables)
    with open(world.folder / "stderr", "w+b") as stderr:
        process = subprocess.Popen(
            binding.command("conformance", *binding.arguments),
            cwd=world.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
        limit = threading.Timer(RUN_SECONDS, end_group, [process])
        limit.start()
        try:
            serve(process, world, results)
            process.wait()
        finally:
            limit.cancel()
            end_group(process)
        stderr.seek(0)
        said = stderr.read().decode(errors="replace")[-2000:]
    results.end = f"the runner ended with status {process.returncode}\n{said}{sanitizer_reports(report)}"
    results.status = process.returncode
    return results


def end_group(process):
    """Ends what the runner's script may have left running."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def serve(process, world, results):
    """Answers the runner's lines until it closes its output."""
    for line in process.stdout:
        try:
            said = json.loads(line)
        except ValueError:
            results.setdefault("", f"not a line of JSON: {line!r}")
            continue
        if "harness" in said:
            answer(process, act(world, said["harness"]))
        elif "scenario" in said:
            world.settle()
            note(results, said)


def note(results, said):
    name = said["scenario"]
    if name in results:
        results[name] = "reported twice"
    else:
        results[name] = "" if said["passed"] is True else said.get("detail") or "failed"


def act(world, wish):
    try:
        return world.act(wish)
    except Exception as error:  # noqa: BLE001 - the scenario fails with it
        return f"{wish.get('action')}: {error}"


def answer(process, problem):
    reply = {"ok": not problem}
    if problem:
        reply["detail"] = problem
    try:
        process.stdin.write(json.dumps(reply).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it has ended; its output says so
