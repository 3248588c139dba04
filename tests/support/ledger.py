"""What callers were told, and whether the service kept it: every answer is written down while faults
happen, and afterwards compared with everything that is stored."""

import threading
from dataclasses import dataclass, field

from support.network import wait_until
from support.protocol import events
from support.rpc import RpcError

PAGE = 1000


def microseconds(timestamp):
    """A protobuf Timestamp as microseconds since 1970."""
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1000


@dataclass
class Entry:
    """One event as its sender knows it. `marker` is unique and part of the payload."""

    marker: str
    source: str
    event_type: str
    payload: bytes
    event_id: str = ""  # "" while nobody was told
    created_at: set = field(default_factory=set)  # every time the sender heard
    acknowledged_at: set = field(default_factory=set)
    ack_sent: bool = False


class Ledger:
    """Thread-safe. `broken` lists contradictions as they are heard."""

    def __init__(self):
        self._lock = threading.Lock()
        self.entries = {}
        self.broken = []
        self.answers = {}  # how many answers of each kind

    def note(self, kind):
        with self._lock:
            self.answers[kind] = self.answers.get(kind, 0) + 1

    def answered(self, *kinds):
        with self._lock:
            return sum(self.answers.get(kind, 0) for kind in kinds)

    def complain(self, text):
        with self._lock:
            self.broken.append(text)

    def sent(self, marker, source, event_type, payload, event_id=""):
        """A create is about to be sent, for the first time or again."""
        with self._lock:
            entry = self.entries.get(marker)
            if not entry:
                entry = self.entries[marker] = Entry(marker, source, event_type, payload, event_id)
            return entry

    def created(self, entry, event_id, created_at):
        with self._lock:
            if entry.event_id not in ("", event_id):
                self.broken.append(f"{entry.marker}: two ids, {entry.event_id} and {event_id}")
            entry.event_id = event_id
            entry.created_at.add(created_at)
            self.answers["created"] = self.answers.get("created", 0) + 1

    def ack_sent(self, entry):
        with self._lock:
            entry.ack_sent = True

    def acknowledged(self, entry, acknowledged_at):
        with self._lock:
            entry.acknowledged_at.add(acknowledged_at)
            self.answers["acknowledged"] = self.answers.get("acknowledged", 0) + 1

    def check(self, rpc, removes=False):
        """Compares with all that `rpc`'s core has stored; returns what is wrong, a line each. `removes`:
        it has removed whatever was acknowledged before the beginning of its log."""
        stored, wrong = read_everything(rpc)
        wrong += self.broken + check_log(rpc, stored, removes)
        by_marker = {}
        for event in stored.values():
            marker = marker_of(event.payload)
            if marker in by_marker:
                wrong.append(f"{marker}: stored twice, as {by_marker[marker].event_id} too")
            by_marker[marker] = event
        for marker in by_marker.keys() - self.entries.keys():
            wrong.append(f"{marker}: stored but never sent")
        for entry in self.entries.values():
            wrong += check_entry(entry, by_marker.get(entry.marker), removes)
        return wrong

    def summary(self):
        told = sum(1 for entry in self.entries.values() if entry.created_at)
        acked = sum(1 for entry in self.entries.values() if entry.acknowledged_at)
        return f"{told} creates and {acked} acks acknowledged of {len(self.entries)} events sent"


def check_entry(entry, event, removes):
    if event is None:
        lost = entry.created_at and not (removes and entry.ack_sent)
        return [f"{entry.marker}: acknowledged but lost"] if lost else []
    wrong = []
    if (event.source, event.event_type, event.payload) != (
        entry.source,
        entry.event_type,
        entry.payload,
    ):
        wrong.append(f"{entry.marker}: stored with other content")
    if entry.event_id not in ("", event.event_id):
        wrong.append(f"{entry.marker}: stored as {event.event_id}, not {entry.event_id}")
    if entry.created_at - {microseconds(event.created_at)}:
        wrong.append(f"{entry.marker}: created_at differs from what was answered")
    acked = event.status == events.EVENT_STATUS_ACKNOWLEDGED
    if acked and not entry.ack_sent:
        wrong.append(f"{entry.marker}: acknowledged by nobody")
    if entry.acknowledged_at and not acked:
        wrong.append(f"{entry.marker}: its acknowledgement was lost")
    if acked and entry.acknowledged_at - {microseconds(event.acknowledged_at)}:
        wrong.append(f"{entry.marker}: the time of its acknowledgement changed")
    return wrong


def marker_of(payload):
    """The marker in a payload made by payload_of."""
    return payload.split(b'"', 4)[3].decode()


def payload_of(marker, size=0):
    """A JSON object that holds the marker and `size` bytes more."""
    return b'{"marker":"%s","text":"%s"}' % (marker.encode(), b"x" * size)


def check_log(rpc, stored, removes=False):
    """The log has each of the stored events from its beginning on, in order and without a gap. If it
    `removes` events, what is stored from before that is pending."""
    sequences = {event.sequence: event.event_id for event in stored.values()}
    first = read_page(rpc, "ListEvents", page_size=1).first_sequence
    after, wrong = first - 1, []
    if len(sequences) != len(stored):
        wrong.append(f"{len(stored)} events have {len(sequences)} sequences in the log")
    if first != 1 and not removes:
        wrong.append(f"the log begins at {first}")
    while True:
        part = read_page(rpc, "ListEvents", after_sequence=after, page_size=PAGE)
        for event in part.events:
            if event.sequence != after + 1 or sequences.get(event.sequence) != event.event_id:
                wrong.append(f"{event.event_id}: sequence {event.sequence} after {after} in the log")
            after = event.sequence
        if not part.events:
            break
    for event in stored.values():
        if event.sequence > after:
            wrong.append(f"{event.event_id}: sequence {event.sequence} is not in the log, up to {after}")
        if event.sequence < first and event.status != events.EVENT_STATUS_PENDING:
            wrong.append(f"{event.event_id}: sequence {event.sequence} is not removed, before {first}")
    return wrong


def read_page(rpc, method="ListInbox", **request):
    """A store that was killed may take a while to lose its old sessions, of a pooler's too."""

    def read():
        try:
            return rpc.event(method, **request)
        except RpcError as error:
            assert error.code == "UNAVAILABLE", error
            return None

    return wait_until(read, "a page")


def read_everything(rpc):
    """Every stored event by its id, pending and acknowledged; and what is wrong with the lists."""
    stored, wrong = {}, []
    for status in (events.EVENT_STATUS_PENDING, events.EVENT_STATUS_ACKNOWLEDGED):
        token = ""
        while True:
            page = read_page(rpc, status=status, page_size=PAGE, page_token=token)
            for event in page.events:
                if event.event_id in stored:
                    wrong.append(f"{event.event_id}: listed twice")
                stored[event.event_id] = event
            token = page.next_page_token
            if not token:
                break
    return stored, wrong
