"""What workers were given by a subscription and what they were told of it, while faults happen, and
whether that can be: compared among each other, and with what the subscription says afterwards.

Times of leases are the store's, in microseconds; times of calls are this machine's, in seconds, which is
the same clock unless a test changes it."""

import threading
import time
from dataclasses import dataclass, field

from support.ledger import marker_of, microseconds, read_everything
from support.network import wait_until
from support.protocol import events
from support.rpc import RpcError

SETTLED = {"done", "late"}
GIVES_BACK = {"Nack", "Release"}
LOST_SECONDS = 2.0  # a crash of PostgreSQL loses no take that is older
ARRIVES_SECONDS = 10.0  # a pull that nobody waits for any more does not take anything after that
PAGE = 1000


@dataclass
class Call:
    """Something said of a lease. `outcome`: None while nobody was told."""

    method: str
    sent: float
    fields: dict
    answered: float = 0.0
    outcome: str = None
    until_us: int = 0  # of an Extend


@dataclass
class Lease:
    """One event in one worker's hands."""

    ack_id: str
    sequence: int
    marker: str  # of the event, see payload_of
    attempt: int
    given_us: int
    until_us: int
    pulled: float  # the pull was sent
    got: float  # its answer came
    calls: list = field(default_factory=list)

    def __str__(self):
        calls = ", ".join(f"{c.method} {c.sent:.3f}–{c.answered:.3f} {c.outcome}" for c in self.calls)
        return (f"attempt {self.attempt}, {self.given_us / 1e6:.3f}–{self.until_us / 1e6:.3f}, "
                f"pulled {self.pulled:.3f}–{self.got:.3f} [{calls}]")

    def sent(self, *methods, before=float("inf")):
        return any(call.method in methods and call.sent < before for call in self.calls)

    def settled_by(self, *methods):
        """The calls whose answer said that it was done."""
        return [c for c in self.calls if c.method in methods and c.outcome in SETTLED]

    def lasts_us(self):
        """How long it lasts at least. The last Extend counts, and may make it shorter; so may any that has
        no answer."""
        until_us = self.until_us
        for call in self.settled_by("Extend"):
            until_us = call.until_us
        for call in self.calls:
            if call.method == "Extend" and call.outcome is None:
                until_us = min(until_us, int((call.sent + call.fields["lease_seconds"]) * 1e6))
        return until_us


class Deliveries:
    """Thread-safe. Of one subscription, which was there before the first event.

    `own_clock`: the store's clock is set during the test, so leases are held against this machine's: they
    begin when their pull was sent or later, and were given out when its answer came or before."""

    def __init__(self, name, max_attempts, acknowledges=False, by_key=False, own_clock=False):
        self.name = name
        self.own_clock = own_clock
        self.max_attempts = max_attempts
        self.acknowledges = acknowledges
        self.by_key = by_key
        self.leases = {}  # by ack id
        self.unanswered = []  # pulls: when they were sent, and given up
        self.crashes = []  # of PostgreSQL: from and until, which may lose takes
        self.forwards = []  # the store's clock was set forward: from and until, which ends leases
        self.answers = {}
        self.broken = []
        self._lock = threading.Lock()

    # ---- what workers hear ----

    def complain(self, text):
        with self._lock:
            self.broken.append(text)

    def note(self, kind):
        with self._lock:
            self.answers[kind] = self.answers.get(kind, 0) + 1

    def pulled(self, sent, deliveries, lease_seconds):
        """The answer of a pull, which may repeat one that was answered; returns its leases."""
        got = time.time()
        with self._lock:
            self.answers["given"] = self.answers.get("given", 0) + len(deliveries)
            return [self._add(sent, got, delivery, lease_seconds) for delivery in deliveries]

    def _add(self, sent, got, delivery, lease_seconds):
        until_us = microseconds(delivery.lease_expires_at)
        given_us = until_us - lease_seconds * 1_000_000
        if self.own_clock:
            given_us, until_us = int(got * 1e6), int((sent + lease_seconds) * 1e6)
        lease = Lease(
            delivery.ack_id, delivery.event.sequence, marker_of(delivery.event.payload),
            delivery.delivery_attempt, given_us, until_us, sent, got,
        )
        known = self.leases.setdefault(delivery.ack_id, lease)
        if (known.sequence, known.attempt, known.until_us) != (
            lease.sequence, lease.attempt, lease.until_us
        ):
            self.broken.append(f"one ack id, two leases: {known}; {lease}")
        return known

    def unanswered_pull(self, sent):
        with self._lock:
            self.unanswered.append((sent, time.time()))

    def saying(self, method, leases, **fields):
        """A call is about to be sent, for the first time or again."""
        calls = [Call(method, time.time(), fields) for _ in leases]
        with self._lock:
            for lease, call in zip(leases, calls):
                lease.calls.append(call)
        return calls

    def told(self, calls, results):
        now = time.time()
        for call, result in zip(calls, results):
            outcome = "late" if result.late else "done"
            if result.HasField("error"):
                outcome = result.error.details.reason
            call.answered, call.outcome = now, outcome
            if result.HasField("lease_expires_at"):
                call.until_us = microseconds(result.lease_expires_at)
                if self.own_clock:
                    call.until_us = int((call.sent + call.fields["lease_seconds"]) * 1e6)
            self.note(f"{call.method} {outcome}")

    def crashed(self, begin):
        """PostgreSQL crashed, or its replica has taken over, between `begin` and now."""
        with self._lock:
            self.crashes.append((begin, time.time()))

    def set_forward(self, begin):
        """The store's clock was set forward between `begin` and now."""
        with self._lock:
            self.forwards.append((begin, time.time()))

    # ---- whether that can be ----

    def check(self, rpc):
        """Everything is settled. Returns what is wrong, a line each."""
        stored, wrong = read_everything(rpc)
        dead = read_dead_letters(rpc, self.name)
        by_sequence = {}
        for lease in self.leases.values():
            by_sequence.setdefault(lease.sequence, []).append(lease)
        letters = {letter.event.sequence: letter for letter in dead}
        wrong += self.broken
        if len(letters) != len(dead):
            wrong.append(f"{len(dead)} dead letters of {len(letters)} events")
        for sequence, leases in by_sequence.items():
            if self.own_clock:  # an answer may be read late
                leases.sort(key=lambda lease: (lease.attempt, lease.given_us))
            else:
                leases.sort(key=lambda lease: (lease.given_us, lease.attempt))
            told = "; ".join(str(lease) for lease in leases)
            for text in self._check_leases(leases) + self._check_end(leases, letters.get(sequence)):
                wrong.append(f"{sequence}: {text}: {told}")
        for event in stored.values():
            wrong += self._check_event(event, by_sequence.get(event.sequence, []), letters)
        if self.by_key:
            wrong += self._check_order(stored.values(), by_sequence, letters)
        return wrong + self._check_counts(rpc, len(dead))

    def _check_leases(self, leases):
        wrong = []
        for lease in leases:
            if not 1 <= lease.attempt <= (self.max_attempts or lease.attempt):
                wrong.append(f"attempt {lease.attempt}")
        for first, second in zip(leases, leases[1:]):
            if self._was_lost(first, second):
                continue
            back = first.sent(*GIVES_BACK, before=second.got)
            ended = any(first.pulled < end and second.got > begin for begin, end in self.forwards)
            if second.given_us < first.lasts_us() and not back and not ended:
                wrong.append("two live leases")
            wrong += self._check_attempts(first, second)
        for lease in leases:
            for call in lease.settled_by("Ack"):
                late = [other for other in leases
                        if other.pulled > call.answered
                        or (other.given_us > call.answered * 1e6 and not self.own_clock)]
                if late:
                    wrong.append("given out after its acknowledgement was answered")
        return wrong

    def _was_lost(self, first, second):
        """Whether the first take was lost with PostgreSQL's last moments."""
        return first.attempt == second.attempt == 1 and any(
            begin - LOST_SECONDS < first.given_us / 1e6 < end and second.given_us / 1e6 > begin
            for begin, end in self.crashes
        )

    def _check_attempts(self, first, second):
        """Each counts, but for those that were released; there may be others, of pulls whose answer was
        lost."""
        released = first.sent("Release", before=second.got)
        least = first.attempt + (0 if released else 1)
        most = first.attempt + (0 if first.settled_by("Release") else 1)
        begin, end = first.given_us / 1e6, second.given_us / 1e6
        if any(sent < end and gave_up + ARRIVES_SECONDS > begin for sent, gave_up in self.unanswered):
            most = self.max_attempts or second.attempt
        return [] if least <= second.attempt <= most else [
            f"attempt {second.attempt} after {first.attempt}"
        ]

    def _check_end(self, leases, letter):
        """What has become of an event that somebody was given."""
        wrong = []
        killed = any(call.fields.get("dead_letter") for lease in leases for call in lease.calls)
        acked = [call for lease in leases for call in lease.settled_by("Ack")]
        failed = any(
            call.fields.get("dead_letter") or lease.attempt == self.max_attempts
            for lease in leases for call in lease.settled_by("Nack")
        )
        if letter:
            if letter.delivery_attempts != self.max_attempts and not killed:
                wrong.append(f"a dead letter after {letter.delivery_attempts} attempts")
            if letter.delivery_attempts < max(lease.attempt for lease in leases):
                wrong.append(f"a dead letter that knows of {letter.delivery_attempts} attempts")
            dead_us = 0 if self.own_clock else microseconds(letter.dead_at)
            if any(call.answered * 1e6 < dead_us for call in acked):
                wrong.append("a dead letter after its acknowledgement was answered")
        elif failed:
            wrong.append("no dead letter after its last attempt")
        elif not any(lease.sent("Ack") for lease in leases):
            wrong.append("neither settled by anybody nor a dead letter")
        return wrong

    def _check_event(self, event, leases, letters):
        if not leases and event.sequence not in letters:
            return [f"{event.sequence}: never given out"]
        if event.HasField("deliver_at"):
            early = [one for one in leases if one.given_us < microseconds(event.deliver_at)]
            if early:
                return [f"{event.sequence}: given out before its time: {early[0]}"]
        acked = any(lease.settled_by("Ack") for lease in leases)
        acknowledged = event.status == events.EVENT_STATUS_ACKNOWLEDGED
        if self.acknowledges and acked and not acknowledged and event.sequence not in letters:
            return [f"{event.sequence}: not acknowledged in the inbox"]
        return []

    def _check_order(self, stored, by_sequence, letters):
        """Of a key each event was given out when the one before it was settled or a dead letter, and that
        one never again. The load redrives nothing."""
        keys, wrong = {}, []
        for event in stored:
            if event.ordering_key:
                keys.setdefault(event.ordering_key, []).append(event.sequence)
        for key, sequences in keys.items():
            sequences.sort()
            for before, sequence in zip(sequences, sequences[1:]):
                leases = by_sequence.get(before, [])
                for first in by_sequence.get(sequence, [])[:1]:
                    told = "; ".join(f"{one.sequence}: {one}" for one in [*leases, first])
                    letter = letters.get(before)
                    dead = letter and microseconds(letter.dead_at) <= first.given_us
                    if not dead and not any(one.sent("Ack", before=first.got) for one in leases):
                        wrong.append(f"{key}: given out before its turn: {told}")
                    if any(one.given_us > first.given_us for one in leases):
                        wrong.append(f"{key}: given out after a later one: {told}")
        return wrong

    def _check_counts(self, rpc, dead):
        read = ask(rpc, "GetSubscription", self.name)
        counts = (read.outstanding, read.delayed, read.backlog, read.dead_letters)
        return [] if counts == (0, 0, 0, dead) else [
            f"outstanding, delayed, backlog, dead letters are {counts}, not (0, 0, 0, {dead})"
        ]

    def summary(self):
        return f"{self.name}: {len(self.leases)} leases, {len(self.unanswered)} pulls unanswered, {self.answers}"


def ask(rpc, method, name, **fields):
    """A call whose store may not be there yet."""

    def answer():
        try:
            return rpc.subscription(method, name, **fields)
        except RpcError as error:
            assert error.code == "UNAVAILABLE", error
            return None

    return wait_until(answer, method)


def read_dead_letters(rpc, name):
    found, token = [], ""
    while True:
        page = ask(rpc, "ListDeadLetters", name, page_size=PAGE, page_token=token)
        found += page.dead_letters
        token = page.next_page_token
        if not token:
            return found
