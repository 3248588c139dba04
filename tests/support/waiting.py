"""ListEvents calls that wait. That they do is seen in the core's metric, not slept for."""

import threading
import time

from support.metrics import Metrics
from support.network import wait_until
from support.protocol import events, stats
from support.rpc import EVENT_SERVICE, GET_STATS, decode, encode

LONG = 20000  # the longest wait_ms
SECOND = 1.0  # the slow look's
WAITING, ANSWERED = "triggers_core_requests_waiting", "triggers_core_requests_total"


def request(after=0, wait_ms=LONG, timeout_ms=0, sources=(), types=(), **fields):
    wanted = events.EventFilter(sources=sources, event_types=types)
    fields = events.ListEventsRequest(
        after_sequence=after, wait_ms=wait_ms, filter=wanted, **fields
    )
    return encode(f"{EVENT_SERVICE}/ListEvents", fields, timeout_ms=timeout_ms)


def answer(response):
    return decode(response, events.ListEventsResponse)


def metrics_of(rpc):
    answer = decode(rpc.call(GET_STATS, stats.GetStatsRequest()), stats.GetStatsResponse)
    return Metrics(answer.text)


def waiting(rpc):
    """How many calls wait."""
    return metrics_of(rpc).value(WAITING)


def wait_for_waiting(rpc, count):
    wait_until(lambda: waiting(rpc) == count, f"{count} calls waiting")


class Waiting:
    """Calls that wait, each on its own: `times` are the seconds until they were answered."""

    def __init__(self, rpc, *messages):
        self.answers = [None] * len(messages)
        self.times = [None] * len(messages)
        self.started = time.monotonic()
        self._replies = rpc.start(messages)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        for i, response in enumerate(self._replies):
            self.times[i] = time.monotonic() - self.started
            self.answers[i] = response

    def finish(self):
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.answers


def sequences(response):
    return [event.sequence for event in answer(response).events]


def delay_to_other(one, other, number):
    """Seconds from the answer to a create on one core to that of who waits at the other."""
    call = Waiting(other, request(after=number))
    wait_for_waiting(other, 1)
    one.create()
    sent = time.monotonic()
    assert sequences(call.finish()[0]) == [number + 1]
    return call.started + call.times[0] - sent
