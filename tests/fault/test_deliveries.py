"""The checker of deliveries itself: it must see every kind of broken promise, or the tests of
subscriptions under faults prove nothing."""

import types

import pytest

from support.deliveries import Deliveries
from support.ledger import payload_of
from support.protocol import events, subscriptions

START = 1000  # seconds


class Answers:
    """A core that has events with these sequences, and a subscription with these dead letters."""

    def __init__(self, sequences=(1,), letters=(), acknowledged=False, stored=None, **counts):
        status = events.EVENT_STATUS_ACKNOWLEDGED if acknowledged else events.EVENT_STATUS_PENDING
        self.stored = stored or [event(sequence, status) for sequence in sequences]
        self.letters = letters
        self.counts = {"dead_letters": len(letters), **counts}

    def event(self, _method, status, **_):
        return events.ListInboxResponse(events=[e for e in self.stored if e.status == status])

    def subscription(self, method, _name, **_):
        if method == "ListDeadLetters":
            return subscriptions.ListDeadLettersResponse(dead_letters=self.letters)
        return subscriptions.GetSubscriptionResponse(**self.counts)


def event(sequence=1, status=events.EVENT_STATUS_PENDING, **fields):
    return events.Event(
        sequence=sequence, event_id=f"evt_{sequence}", payload=payload_of("m"), status=status, **fields
    )


def letter(attempts=3, at=START):
    made = subscriptions.DeadLetter(event=event(), delivery_attempts=attempts)
    made.dead_at.seconds = at
    return made


class Teller:
    """Says what workers are told at times that are chosen: seconds after the start."""

    def __init__(self, monkeypatch, **fields):
        self.now = START
        clock = types.SimpleNamespace(time=lambda: self.now)
        monkeypatch.setattr("support.deliveries.time", clock)
        self.deliveries = Deliveries("s", 3, **fields)

    def given(self, at, attempt=1, seconds=10, ack_id=None, sent=None, sequence=1):
        """The event is given out, to one who asked just then, or when it is said."""
        self.now = START + at
        delivery = subscriptions.Delivery(
            event=event(sequence), ack_id=ack_id or f"id {at}", delivery_attempt=attempt
        )
        delivery.lease_expires_at.seconds = START + at + seconds
        sent = self.now if sent is None else START + sent
        [lease] = self.deliveries.pulled(sent, [delivery], seconds)
        return lease

    def said(self, at, method, lease, reason="", until=None, **fields):
        self.now = START + at
        calls = self.deliveries.saying(method, [lease], **fields)
        if reason is not None:
            result = subscriptions.SettleResult()
            if reason:
                result.error.details.reason = reason
            if until is not None:
                result.lease_expires_at.seconds = START + until
            self.deliveries.told(calls, [result])

    def lost(self, sent, gave_up):
        self.now = START + gave_up
        self.deliveries.unanswered_pull(START + sent)

    def crashed(self, begin, end):
        self.now = START + end
        self.deliveries.crashed(START + begin)

    def check(self, *arguments, **fields):
        return self.deliveries.check(Answers(*arguments, **fields))

    def complains(self, text, *arguments, **fields):
        wrong = self.check(*arguments, **fields)
        assert any(text in line for line in wrong), wrong


@pytest.fixture
def teller(monkeypatch):
    return Teller(monkeypatch)


def test_kept_promises_are_fine(teller):
    first = teller.given(0)
    teller.said(1, "Extend", first, until=21, lease_seconds=20)
    second = teller.given(22, 2)
    teller.said(23, "Release", second)
    third = teller.given(24, 2)
    teller.said(25, "Nack", third)
    fourth = teller.given(26, 3)
    teller.said(27, "Ack", first, "LEASE_LOST")
    teller.said(28, "Ack", fourth)
    assert teller.check() == []


def test_two_live_leases_are_seen(teller):
    first = teller.given(0)
    teller.said(20, "Ack", teller.given(9, 2))
    teller.complains("two live leases")
    teller.said(1, "Nack", first, None)
    assert teller.check() == []


def test_extensions_count(teller):
    first = teller.given(0)
    teller.said(1, "Extend", first, until=15, lease_seconds=14)
    teller.said(20, "Ack", teller.given(14, 2))
    teller.complains("two live leases")


def test_an_extension_may_be_shorter_and_need_no_answer(teller):
    first = teller.given(0)
    teller.said(1, "Extend", first, None, lease_seconds=3)
    teller.said(20, "Ack", teller.given(5, 2))
    assert teller.check() == []


def test_a_take_may_be_lost_with_postgres_last_moments(teller):
    teller.given(0)
    teller.said(5, "Ack", teller.given(4))
    teller.complains("two live leases")
    teller.complains("attempt 1 after 1")
    teller.crashed(1, 2)
    assert teller.check() == []


@pytest.mark.parametrize("begin, end, attempt", [(3, 3.5, 1), (1, 2, 2), (4.5, 5, 1)])
def test_but_no_other(teller, begin, end, attempt):
    teller.given(0)
    teller.said(5, "Ack", teller.given(4, attempt))
    teller.crashed(begin, end)
    teller.complains("two live leases")


@pytest.mark.parametrize("sent", [12, 10.5])
def test_what_is_given_out_after_its_acknowledgement_is_seen(teller, sent):
    teller.said(11, "Ack", teller.given(0))
    teller.given(12, 2, sent=sent)
    teller.complains("after its acknowledgement")


def test_attempts_that_do_not_count_are_seen(teller):
    teller.given(0)
    teller.said(12, "Ack", teller.given(11))
    teller.complains("attempt 1 after 1")


def test_attempts_that_count_twice_are_seen(teller):
    teller.given(0)
    teller.said(12, "Ack", teller.given(11, 3))
    teller.complains("attempt 3 after 1")
    teller.lost(2, 3)
    assert teller.check() == []


def test_a_release_that_counts_is_seen(teller):
    teller.said(1, "Release", teller.given(0))
    teller.said(12, "Ack", teller.given(11, 2))
    teller.complains("attempt 2 after 1")


def test_attempts_beyond_the_last_are_seen(teller):
    teller.said(1, "Ack", teller.given(0, 4))
    teller.complains("attempt 4")


def test_dead_letters(teller):
    teller.said(1, "Nack", teller.given(0, 3))
    teller.complains("no dead letter after its last attempt")
    assert teller.check(letters=[letter()]) == []
    teller.complains("a dead letter after 2 attempts", letters=[letter(2)])
    teller.complains("knows of 2", letters=[letter(2)])
    teller.complains("2 dead letters", letters=[letter(), letter()])


def test_dead_letters_by_request(teller):
    teller.said(1, "Nack", teller.given(0), dead_letter=True)
    teller.complains("no dead letter")
    assert teller.check(letters=[letter(1)]) == []


def test_a_dead_letter_after_its_acknowledgement_is_seen(teller):
    teller.said(1, "Ack", teller.given(0, 3))
    teller.complains("after its acknowledgement", letters=[letter(3, START + 2)])


def test_events_that_are_nowhere_are_seen(teller):
    teller.complains("never given out")
    teller.given(0)
    teller.complains("neither settled by anybody")
    assert teller.check(letters=[letter()]) == []


def test_acknowledgements_in_the_inbox_are_missed(monkeypatch):
    teller = Teller(monkeypatch, acknowledges=True)
    teller.said(1, "Ack", teller.given(0))
    teller.complains("not acknowledged in the inbox")
    assert teller.check(acknowledged=True) == []


@pytest.mark.parametrize("count", ["outstanding", "delayed", "backlog", "dead_letters"])
def test_wrong_counts_are_seen(teller, count):
    teller.said(1, "Ack", teller.given(0))
    teller.complains("not (0, 0, 0, 0)", **{count: 1})


def test_two_leases_of_one_ack_id_are_seen(teller):
    teller.said(1, "Ack", teller.given(0, ack_id="id"))
    teller.given(0, ack_id="id")
    assert teller.check() == []
    teller.given(0, 2, ack_id="id")
    teller.complains("one ack id, two leases")


def test_an_event_before_its_time_is_seen(teller):
    teller.said(6, "Ack", teller.given(5))
    teller.complains("before its time", stored=[event(deliver_at={"seconds": START + 6})])
    assert teller.check(stored=[event(deliver_at={"seconds": START + 5})]) == []


KEYED = [event(1, ordering_key="a"), event(2, ordering_key="b"), event(3, ordering_key="a")]


@pytest.fixture
def keyed(monkeypatch):
    teller = Teller(monkeypatch, by_key=True)
    teller.said(1, "Ack", teller.given(0, sequence=2))
    return teller


def test_one_after_the_other_is_fine(keyed):
    keyed.said(3, "Nack", keyed.given(2))
    keyed.said(5, "Ack", keyed.given(4, 2), None)
    keyed.said(7, "Ack", keyed.given(6, sequence=3))
    assert keyed.check(stored=KEYED) == []


@pytest.mark.parametrize("method", ["Ack", "Nack"])
def test_an_event_before_another_of_its_key_is_settled_is_seen(keyed, method):
    first = keyed.given(2)
    if method == "Nack":
        keyed.said(3, "Nack", first)
    keyed.said(5, "Ack", keyed.given(4, sequence=3))
    keyed.said(7, "Ack", keyed.given(6, 2) if method == "Nack" else first)
    keyed.complains("before its turn", stored=KEYED)


def test_an_event_after_a_later_one_of_its_key_is_seen(keyed):
    keyed.said(3, "Ack", keyed.given(2), "LEASE_LOST")
    keyed.said(5, "Ack", keyed.given(4, sequence=3))
    keyed.said(16, "Ack", keyed.given(15, 2))
    keyed.complains("after a later one", stored=KEYED)


def test_a_key_may_go_on_after_a_dead_letter(keyed):
    keyed.said(3, "Nack", keyed.given(2, 3))
    keyed.said(5, "Ack", keyed.given(4, sequence=3))
    assert keyed.check(stored=KEYED, letters=[letter(3, START + 3)]) == []
    keyed.complains("before its turn", stored=KEYED, letters=[letter(3, START + 5)])
