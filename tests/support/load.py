"""Many clients at once that create and acknowledge, over the binary protocol and over REST, and write
every answer into a ledger. They retry as the protocol says, so faults delay them but lose nothing."""

import itertools
import random
import re
import threading
import time
from datetime import datetime

import httpx
import pynng

from support.ledger import microseconds, payload_of
from support.network import DEADLINE, wait_until
from support.protocol import envelope, events
from support.rpc import RpcClient, RpcError
from support.typeid import new_event_id

PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED"}
PASSING_HTTP = {429, 503, 504}
IN_FLIGHT = 409  # the first request with this key has no answer yet
RETRY_SECONDS = 0.02
CALL_SECONDS = 5.0

_numbers = itertools.count()


def new_marker():
    return f"m{next(_numbers)}"


class Load:
    """Starts the clients on entry. On exit each ends what it began, with retries, within a deadline.

    `urls`: of the cores, one for each binary client in turn. `bridge_url`: of the bridge for the REST
    clients. `client`: RpcClient or BareClient. `removes`: the cores remove what was acknowledged, so that
    an acknowledgement that is sent again may not find its event. `later`: some events of the binary clients
    have an ordering key, and some a time of delivery."""

    def __init__(
        self,
        ledger,
        urls=(),
        binary=0,
        bridge_url=None,
        rest=0,
        size=0,
        keys=False,
        client=RpcClient,
        removes=False,
        later=False,
    ):
        self.ledger = ledger
        self.size = size
        self.keys = keys
        self.client = client
        self.removes = removes
        self.later = later
        self._stopping = threading.Event()
        self._gave_up = threading.Event()
        urls = itertools.cycle([urls] if isinstance(urls, str) else urls)
        self._threads = [
            threading.Thread(target=self._run, args=(self._binary, next(urls)), daemon=True)
            for _ in range(binary)
        ]
        self._threads += [
            threading.Thread(target=self._run, args=(self._rest, bridge_url), daemon=True)
            for _ in range(rest)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, error, *_):
        self._stopping.set()
        if not error:
            self._join(DEADLINE)
        self._gave_up.set()
        self._join(CALL_SECONDS * 4)
        assert error or not any(thread.is_alive() for thread in self._threads), "a call hangs"

    def _join(self, seconds):
        """Waits so long for all clients together."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def wait_for_creates(self, count, deadline=DEADLINE):
        """Waits until `count` more creates have been answered."""
        goal = self.ledger.answered("created") + count
        wait_until(lambda: self.ledger.answered("created") >= goal, f"{count} creates", deadline, 0.005)

    def _run(self, client, url):
        try:
            client(url, random.Random(next(_numbers)))
        except Exception as error:  # noqa: BLE001 - every surprise is a finding
            self.ledger.complain(f"{client.__name__} client ended: {error!r}")

    def _again(self):
        """Between two tries; whether there is to be another."""
        self._gave_up.wait(RETRY_SECONDS)
        return not self._gave_up.is_set()

    # The binary protocol: ids made by the caller.

    def _binary(self, url, chance):
        with self.client(url) as rpc:
            while not self._stopping.is_set():
                entries = self._create_binary(rpc, chance)
                for entry in entries:
                    if chance.random() < 0.5:
                        self._ack_binary(rpc, entry, chance)

    def _call(self, rpc, method, **fields):
        """Repeats a call until it is answered; None when the load gave up."""
        while True:
            try:
                return rpc.event(
                    method, timeout=CALL_SECONDS, timeout_ms=int(CALL_SECONDS * 900), **fields
                )
            except RpcError as error:
                self.ledger.note(error.code)
                if self.removes and method == "AckEvent" and error.code == "NOT_FOUND":
                    return None
                if error.code not in PASSING:
                    self.ledger.complain(f"{method}: {error}")
                    return None
            except (pynng.NNGException, OSError) as error:
                self.ledger.note(type(error).__name__)
            if not self._again():
                return None

    def _new_entry(self, event_id=""):
        marker = new_marker()
        return self.ledger.sent(marker, "crm", "lead", payload_of(marker, self.size), event_id)

    def _choose_later(self, chance):
        """What an event may have besides."""
        if chance.random() < 0.4:
            return {"ordering_key": f"key {chance.randrange(20)}"}
        if chance.random() < 0.2:
            at_us = int((time.time() + chance.random()) * 1e6)
            return {"deliver_at": {"seconds": at_us // 10**6, "nanos": at_us % 10**6 * 1000}}
        return {}

    def _create_binary(self, rpc, chance):
        entries = [self._new_entry(new_event_id()) for _ in range(chance.choice((1, 1, 1, 4)))]
        requests = [
            events.CreateEventRequest(
                event_id=entry.event_id, source="CRM", event_type="Lead", payload=entry.payload,
                **(self._choose_later(chance) if self.later else {}),
            )
            for entry in entries
        ]
        for _ in range(2 if chance.random() < 0.2 else 1):  # some send all of it again
            if len(entries) == 1:
                created = [self._call(rpc, "CreateEvent", request=requests[0])]
            else:
                created = self._create_batch(rpc, requests)
            for entry, answer in zip(entries, created):
                if answer:
                    self.ledger.created(entry, answer.event_id, microseconds(answer.created_at))
        return [entry for entry in entries if entry.created_at]

    def _create_batch(self, rpc, requests):
        """Sends all of a batch again while some item failed for the moment."""
        while answer := self._call(rpc, "BatchCreateEvents", events=requests):
            failed = [r.error for r in answer.results if r.WhichOneof("outcome") == "error"]
            for error in failed:
                self.ledger.note(envelope.Code.Name(error.code))
                if envelope.Code.Name(error.code) not in PASSING:
                    self.ledger.complain(f"an item of a batch failed: {error}")
            if not failed or not self._again():
                return [r.created if r.WhichOneof("outcome") == "created" else None
                        for r in answer.results]
        return []

    def _ack_binary(self, rpc, entry, chance):
        self.ledger.ack_sent(entry)
        for _ in range(chance.choice((1, 1, 2))):
            answer = self._call(rpc, "AckEvent", event_id=entry.event_id)
            if answer:
                self.ledger.acknowledged(entry, microseconds(answer.acknowledged_at))

    # REST: the bridge makes the ids. Without keys an unanswered create is not sent again.

    def _rest(self, url, chance):
        with httpx.Client(base_url=url, trust_env=False, timeout=CALL_SECONDS * 3) as http:
            while not self._stopping.is_set():
                entry = self._create_rest(http)
                if entry and entry.created_at and chance.random() < 0.5:
                    self._ack_rest(http, entry)

    def _request(self, http, method, path, retry=True, **arguments):
        """Repeats a request until it is answered with 2xx; None when it never was."""
        while True:
            try:
                response = http.request(method, path, **arguments)
                if response.is_success:
                    return response.json()
                code = re.search(r'"code":"(\w+)"', response.text)
                self.ledger.note(f"HTTP {response.status_code} {code[1] if code else ''}")
                if response.status_code == IN_FLIGHT and self.keys:
                    if self._again():
                        continue
                    return None
                if response.status_code not in PASSING_HTTP:
                    self.ledger.complain(f"{method} {path}: {response.status_code} {response.text}")
                    return None
                if response.status_code != 504 and "retry-after" not in response.headers:
                    self.ledger.complain(f"{response.status_code} without Retry-After")
            except httpx.TransportError as error:
                self.ledger.note(type(error).__name__)
            if not self._again() or not retry:
                return None

    def _create_rest(self, http):
        entry = self._new_entry()
        body = b'{"source":"CRM","event_type":"Lead","payload":%s}' % entry.payload
        headers = {"Content-Type": "application/json"}
        if self.keys:
            headers["Idempotency-Key"] = f'"{entry.marker}"'
        answer = self._request(
            http, "POST", "/api/v1/events", retry=self.keys, content=body, headers=headers
        )
        if answer:
            self.ledger.created(entry, answer["event_id"], from_rfc3339(answer["created_at"]))
        return entry

    def _ack_rest(self, http, entry):
        self.ledger.ack_sent(entry)
        answer = self._request(http, "DELETE", f"/api/v1/events/{entry.event_id}")
        if answer:
            self.ledger.acknowledged(entry, from_rfc3339(answer["acknowledged_at"]))


def from_rfc3339(text):
    """Microseconds since 1970."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
