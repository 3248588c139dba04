"""The ledger itself: it must see every kind of broken promise, or the other tests prove nothing."""

import pytest

from support.ledger import payload_of
from support.protocol import events


class Answers:
    """A core that has stored `stored`; its log has `log`, by default the same, and begins at `first`."""

    def __init__(self, *stored, log=None, first=1):
        self.stored = stored
        self.log = stored if log is None else log
        self.first = first

    def event(self, method, page_size, status=None, page_token="", after_sequence=0):
        if method == "ListEvents":
            listed = [event for event in self.log if event.sequence > after_sequence]
            return events.ListEventsResponse(events=listed, first_sequence=self.first)
        listed = [event for event in self.stored if event.status == status]
        return events.ListInboxResponse(events=listed)


def stored(event_id="evt_1", seconds=7, acked=0, payload=payload_of("m"), sequence=1):
    event = events.Event(
        event_id=event_id, source="crm", event_type="lead", payload=payload, sequence=sequence,
        status=events.EVENT_STATUS_ACKNOWLEDGED if acked else events.EVENT_STATUS_PENDING,
    )
    event.created_at.seconds = seconds
    if acked:
        event.acknowledged_at.seconds = acked
    return event


@pytest.fixture
def told(ledger):
    """Someone was told that evt_1 was created at 7 s."""
    entry = ledger.sent("m", "crm", "lead", payload_of("m"))
    ledger.created(entry, "evt_1", 7_000_000)
    return entry


def test_kept_promises_are_fine(ledger, told):
    assert ledger.check(Answers(stored())) == []
    ledger.sent("never answered", "crm", "lead", b"{}")
    assert ledger.check(Answers(stored())) == []
    ledger.ack_sent(told)
    assert ledger.check(Answers(stored(acked=9))) == []
    ledger.acknowledged(told, 9_000_000)
    assert ledger.check(Answers(stored(acked=9))) == []


@pytest.mark.parametrize(
    "found, complaint",
    [
        ([], "lost"),
        ([stored(), stored("evt_2")], "twice"),
        ([stored(), stored()], "listed twice"),
        ([stored(payload=payload_of("m", 1))], "other content"),
        ([stored("evt_2")], "not evt_1"),
        ([stored(seconds=8)], "created_at"),
        ([stored(acked=9)], "by nobody"),
        ([stored(), stored("evt_2", payload=payload_of("n"))], "never sent"),
    ],
)
def test_broken_promises_are_seen(ledger, told, found, complaint):
    assert any(complaint in line for line in ledger.check(Answers(*found)))


def test_broken_acknowledgements_are_seen(ledger, told):
    ledger.ack_sent(told)
    ledger.acknowledged(told, 9_000_000)
    assert any("was lost" in line for line in ledger.check(Answers(stored())))
    assert any("changed" in line for line in ledger.check(Answers(stored(acked=10))))
    ledger.acknowledged(told, 11_000_000)
    assert any("changed" in line for line in ledger.check(Answers(stored(acked=9))))


def test_two_answers_that_differ_are_seen(ledger, told):
    ledger.created(told, "evt_2", 7_000_000)
    assert any("two ids" in line for line in ledger.check(Answers(stored("evt_2"))))


@pytest.mark.parametrize(
    "log",
    [
        [],
        [stored(sequence=2)],
        [stored(), stored(sequence=2)],
        [stored("evt_2")],
    ],
)
def test_broken_logs_are_seen(ledger, told, log):
    assert any("log" in line for line in ledger.check(Answers(stored(), log=log)))


@pytest.mark.parametrize(
    "found, complaint",
    [
        ([], ""),
        ([stored(acked=9, sequence=256)], ""),
        ([stored(sequence=256)], "acknowledgement was lost"),
        ([stored(acked=9)], "not removed"),
        ([stored(acked=9, sequence=257)], "after 255"),
    ],
)
def test_removal_is_seen(ledger, told, found, complaint):
    ledger.ack_sent(told)
    ledger.acknowledged(told, 9_000_000)
    log = [event for event in found if event.sequence >= 256]
    wrong = ledger.check(Answers(*found, log=log, first=256), removes=True)
    assert any(complaint in line for line in wrong) if complaint else wrong == []


def test_pending_events_may_not_be_removed(ledger, told):
    assert ledger.check(Answers(stored(), log=[], first=256), removes=True) == []
    assert any("lost" in line for line in ledger.check(Answers(first=256), removes=True))
    assert any("begins at 256" in line for line in ledger.check(Answers(stored(), log=[], first=256)))
