"""Workers of a subscription that do all a worker may do with what it gets: settle it, give it back, take
longer, forget it, and die at any moment, which is what their connection tells the core: it is torn."""

import itertools
import random
import threading
import time

from support.deliveries import ask
from support.load import CALL_SECONDS, PASSING, RETRY_SECONDS
from support.network import DEADLINE, wait_until
from support.peer import connect
from support.protocol import subscriptions
from support.rpc import SUBSCRIPTION_SERVICE, BareClient, RpcError, encode

_numbers = itertools.count()
CHOICES = {"ack": 12, "nack": 3, "kill": 1, "release": 2, "extend": 2, "forget": 2, "die": 1}
DRAIN_SECONDS = 60.0


class Mortal(BareClient):
    """A client that may die with its call under way."""

    def die(self):
        if self._peer:
            self._peer.die()
        self._peer = None

    def die_calling(self, message, chance):
        """Sends a call, and is not there any more when it is answered."""
        self._peer = self._peer or connect(self._url, CALL_SECONDS)
        self._number += 1
        self._peer.send(message, self._number)
        time.sleep(chance.random() * 0.02)
        self.die()


class Workers:
    """Starts them on entry; on exit, all that is left is acknowledged, within a deadline.

    `urls`: of the cores, one for each worker in turn. `ledger`: what is acknowledged in the inbox is noted
    there."""

    def __init__(self, deliveries, urls, count, ledger=None):
        self.deliveries = deliveries
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        self.ledger = ledger
        self._calm = threading.Event()
        self._ended = threading.Event()
        turn = itertools.cycle(self.urls)
        self._threads = [
            threading.Thread(target=self._run, args=(next(turn),), daemon=True) for _ in range(count)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, error, *_):
        self._calm.set()
        try:
            if not error:
                self._drain()
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join(DEADLINE)
        assert error or not any(thread.is_alive() for thread in self._threads), "a call hangs"

    def _drain(self):
        read = None

        def drained():
            nonlocal read
            read = ask(rpc, "GetSubscription", self.deliveries.name)
            return not (read.outstanding or read.delayed or read.backlog)

        with BareClient(self.urls[0]) as rpc:
            try:
                wait_until(drained, "all settled", DRAIN_SECONDS, 0.1)
            except AssertionError as late:
                raise AssertionError(f"{late}: {read}; {self.deliveries.summary()}") from None

    def _run(self, url):
        chance = random.Random(next(_numbers))
        try:
            with Mortal(url) as rpc:
                while not self._ended.is_set():
                    self._work(rpc, chance)
        except Exception as error:  # noqa: BLE001 - every surprise is a finding
            self.deliveries.complain(f"a worker ended: {error!r}")

    def _attempt(self, rpc, method, **fields):
        """One call; None when it has no answer, or a failure that passes."""
        try:
            return rpc.subscription(
                method, self.deliveries.name, timeout=CALL_SECONDS,
                timeout_ms=int(CALL_SECONDS * 900), **fields,
            )
        except RpcError as error:
            self.deliveries.note(error.code)
            if error.code not in PASSING:
                self.deliveries.complain(f"{method}: {error}")
        except OSError as error:
            self.deliveries.note(type(error).__name__)
        self._ended.wait(RETRY_SECONDS)
        return None

    def _work(self, rpc, chance):
        calm = self._calm.is_set()
        leases = self._pull(rpc, chance, calm)
        chances = {"ack": 1} if calm else CHOICES
        while leases:
            count = chance.randint(1, len(leases))
            some, leases = leases[:count], leases[count:]
            [choice] = chance.choices(list(chances), chances.values())
            if choice == "die":
                return rpc.die()  # with all that it has
            getattr(self, f"_{choice}")(rpc, chance, some)
        return None

    def _pull(self, rpc, chance, calm):
        seconds = 5 if calm else chance.choice((1, 1, 2, 5))
        fields = {
            "max_events": 500 if calm else chance.choice((1, 10, 50)),
            "lease_seconds": seconds,
            "wait_ms": chance.choice((0, 100, 500)),
            "pull_id": chance.choice(("", f"pull {next(_numbers)}")),
        }
        dies = not calm and chance.random() < 0.05
        repeats = 2 if fields["pull_id"] and not calm else 1
        sent = time.time()
        found = []
        for _ in range(repeats):
            answer = None
            if dies:
                self._die_pulling(rpc, chance, fields)
            else:
                answer = self._attempt(rpc, "Pull", **fields)
            if answer is None:
                self.deliveries.unanswered_pull(sent)
                continue
            found = self.deliveries.pulled(sent, answer.deliveries, seconds)
            if chance.random() < 0.8:
                break
        return found

    def _die_pulling(self, rpc, chance, fields):
        request = subscriptions.PullRequest(name=self.deliveries.name, **fields)
        try:
            rpc.die_calling(encode(f"{SUBSCRIPTION_SERVICE}/Pull", request), chance)
        except OSError:
            rpc.die()

    def _settle(self, rpc, method, leases, **fields):
        """Says it, again while it has no answer; now and then once more."""
        while not self._ended.is_set():
            calls = self.deliveries.saying(method, leases, **fields)
            answer = self._attempt(
                rpc, method, ack_ids=[lease.ack_id for lease in leases], **fields
            )
            if answer:
                if len(answer.results) != len(leases):
                    self.deliveries.complain(f"{len(answer.results)} results of {len(leases)}")
                self.deliveries.told(calls, answer.results)
                return

    def _ack(self, rpc, chance, leases):
        if self.ledger:
            for lease in leases:
                self.ledger.ack_sent(self.ledger.entries[lease.marker])
        for _ in range(2 if chance.random() < 0.1 else 1):
            self._settle(rpc, "Ack", leases)

    def _nack(self, rpc, chance, leases):
        delay = {"delay_seconds": chance.choice((0, 1))} if chance.random() < 0.7 else {}
        self._settle(rpc, "Nack", leases, reason="failed", **delay)

    def _kill(self, rpc, chance, leases):
        self._settle(rpc, "Nack", leases[:3], reason="hopeless", dead_letter=True)
        if leases[3:]:
            self._ack(rpc, chance, leases[3:])

    def _release(self, rpc, _chance, leases):
        self._settle(rpc, "Release", leases)

    def _extend(self, rpc, chance, leases):
        self._settle(rpc, "Extend", leases, lease_seconds=chance.choice((1, 3)))
        time.sleep(chance.random() * 1.5)
        self._ack(rpc, chance, leases)

    def _forget(self, _rpc, chance, _leases):
        time.sleep(chance.random() * 0.2)
