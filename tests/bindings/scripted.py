"""A core whose answers are scripted: scenarios say what it replies and ask what it was sent.

A reply of a script is an object: without members it answers OK with a plausible response; `response`
(as protojson) gives that response; `code` (with `reason`, `message`, `fields`, `retry_delay_ms`) an
error, of which `first_sequence` is a detail too. `do` is one of drop (closes the connection), silent, garbage, empty (OK without a body), and
hold (waits for `count` requests and answers them in reverse order); `delay_ms` puts an answer off.
Replies are used in turn, the last one again and again. In place of a list there may be an object with
a list for each method by its short name; requests of others are answered as by {}."""

import re
import threading
import time
from dataclasses import dataclass, field

import pynng
from google.protobuf import json_format

from support.network import DEADLINE
from support.protocol import access, envelope, events, health, stats, subscriptions
from support.typeid import ALPHABET

MAX_MESSAGE = 16 << 20
WORKERS = 24  # requests in hand at once; more than any script holds
EVENT_ID = re.compile(f"evt_[0-7][{ALPHABET}]{{25}}")
ANSWER_MALFORMED = b"\xff\xff\xff\xff"

METHODS = {
    f"{service.full_name}/{method.name}": (module, method)
    for module in (access, events, health, stats, subscriptions)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
REQUESTS = {name: getattr(module, method.input_type.name) for name, (module, method) in METHODS.items()}
RESPONSES = {name: getattr(module, method.output_type.name) for name, (module, method) in METHODS.items()}


@dataclass
class Sent:
    """A request as it came in."""

    at: float  # monotonic seconds
    connection: int
    request: envelope.Request
    body: object  # the method's request message


@dataclass
class Script:
    replies: list | dict
    sent: list = field(default_factory=list)
    held: int = 0  # requests that wait for the others
    released: int = 0  # of them, those that were answered

    def next_reply(self, method):
        """The reply to the next request, which is of that method."""
        replies, before = self.replies, len(self.sent)
        if isinstance(replies, dict):
            replies = replies.get(method.partition("/")[2], [{}])
            before = sum(each.request.method == method for each in self.sent)
        return replies[min(before, len(replies) - 1)]


class ScriptedCore:
    """Serves `url` and `tcp_url` until `close`; `run` gives it a script and forgets what was sent before."""

    def __init__(self, url, tcp_url):
        self.url = url
        self.tcp_url = tcp_url
        self._changed = threading.Condition()
        self._script = Script([{}])
        self._socket = pynng.Rep0(listen=url, recv_max_size=MAX_MESSAGE)
        self._socket.listen(tcp_url)
        self._contexts = [self._socket.new_context() for _ in range(WORKERS)]
        self._workers = [
            threading.Thread(target=self._work, args=(context,), daemon=True)
            for context in self._contexts
        ]
        for worker in self._workers:
            worker.start()

    def close(self):
        self.run([{}])
        for context in self._contexts:
            context.close()
        for worker in self._workers:
            worker.join(DEADLINE)
        self._socket.close()

    def run(self, replies):
        with self._changed:
            self._script = Script(replies)
            self._changed.notify_all()

    def sent(self):
        with self._changed:
            return list(self._script.sent)

    def _work(self, context):
        try:
            while True:
                message = context.recv_msg()
                answer = self._answer(message)
                if answer is not None:
                    context.send(answer)
        except pynng.NNGException:
            pass  # closed

    def _answer(self, message):
        """The bytes to reply with; None for none at all."""
        request = envelope.Request.FromString(message.bytes)
        body = REQUESTS[request.method].FromString(request.body)
        with self._changed:
            script = self._script
            reply = script.next_reply(request.method)
            script.sent.append(Sent(time.monotonic(), message.pipe.id, request, body))
            what = reply.get("do")
            if what == "hold":
                self._hold(script, reply["count"])
        time.sleep(reply.get("delay_ms", 0) / 1000)
        if what == "drop":
            message.pipe.close()
        if what in ("drop", "silent"):
            return None
        if what == "garbage":
            return ANSWER_MALFORMED
        response = envelope.Response()
        if "code" in reply:
            fill_error(reply, response)
        elif what != "empty":
            response.body = make_response(reply, request.method, body).SerializeToString()
        return response.SerializeToString()

    def _hold(self, script, count):
        """Waits until `count` requests are here and this one's turn has come, the last one first."""
        place = script.held
        script.held += 1
        self._changed.notify_all()
        turn = count - 1 - place

        def ready():
            replaced = script is not self._script
            return replaced or (script.held == count and script.released == turn)

        self._changed.wait_for(ready, DEADLINE)
        script.released += 1
        self._changed.notify_all()


def fill_error(reply, response):
    code = reply["code"]
    response.code = code if isinstance(code, int) else envelope.Code.Value(code)
    response.message = reply.get("message", "")
    response.details.reason = reply.get("reason", "")
    response.details.retry_delay_ms = reply.get("retry_delay_ms", 0)
    response.details.first_sequence = reply.get("first_sequence", 0)
    for name in reply.get("fields", []):
        response.details.field_violations.add(field=name, description="is wrong")


def make_response(reply, method, body):
    """The response message: as scripted, or one that fits the request."""
    response = RESPONSES[method]()
    if "response" in reply:
        return json_format.ParseDict(reply["response"], response)
    if method.endswith("/CreateEvent"):
        fill_created(response, body)
    elif method.endswith("/BatchCreateEvents"):
        for event in body.events:
            fill_created(response.results.add().created, event)
    elif method.endswith("/GetEvent"):
        response.event.event_id = body.event_id
        response.event.payload = b"{}"
        response.event.status = events.EVENT_STATUS_PENDING
        response.event.created_at.GetCurrentTime()
    elif method.endswith("/AckEvent"):
        fill_acked(response, body.event_id)
    elif method.endswith("/BatchAckEvents"):
        for event_id in body.event_ids:
            fill_acked(response.results.add().acknowledged, event_id)
    elif hasattr(body, "ack_ids"):
        for _ in body.ack_ids:
            response.results.add()
    elif method.endswith("/Check"):
        response.status = health.HealthCheckResponse.SERVING
    return response


def fill_created(created, event):
    created.event_id = event.event_id
    created.created_at.GetCurrentTime()


def fill_acked(acked, event_id):
    acked.event_id = event_id
    acked.acknowledged_at.GetCurrentTime()


def check_requests(sent, expected, version):
    """What is wrong with the requests that were sent, "" when they are as expected. `expected` has:
    count [least, most]; and optionally method; body (its fields); filter (its fields); event_id, of
    every request; after_sequences, of the requests in order, as texts;
    event_ids, of all requests in any order; same_body (true); made_ids (how many events of a batch
    have ids of their own); timeout_ms [least, most]; timeout_falls (true); gap_ms [least, most]
    between requests; pulls (of the first ones a letter that stands for the pull id, and max_events); calls
(short names of methods → [least, most] requests); settled (a method's short name → all ack ids, in any
order); keys (of the requests in order, "" for none); one_connection (true: all came over the same); client_name (true: the metadata "client" names a client of our version)."""
    least, most = expected["count"]
    if not least <= len(sent) <= most:
        return f"{len(sent)} requests instead of {least} to {most}"
    problems = [
        CHECKS[name](sent, value, version) for name, value in expected.items() if name not in ("action", "count")
    ]
    return "; ".join(problem for problem in problems if problem)


def check_method(sent, method, _):
    wrong = {each.request.method for each in sent} - {method}
    return f"methods {wrong} instead of {method}" if wrong else ""


def check_body(sent, fields, _):
    for name, value in fields.items():
        found = getattr(sent[0].body, name)
        found = found.decode() if isinstance(found, bytes) else found
        if found != value:
            return f"{name} is {found!r} instead of {value!r}"
    return ""


def check_filter(sent, fields, _):
    found = {name: list(getattr(sent[0].body.filter, name)) for name in fields}
    return "" if found == fields else f"the filter is {found} instead of {fields}"


def check_after_sequences(sent, expected, _):
    found = [str(each.body.after_sequence) for each in sent]
    return "" if found == expected else f"positions {found} instead of {expected}"


def check_event_id(sent, event_id, _):
    wrong = {each.body.event_id for each in sent} - {event_id}
    return f"event ids {wrong} instead of {event_id}" if wrong else ""


def check_event_ids(sent, event_ids, _):
    found = sorted(each.body.event_id for each in sent)
    return "" if found == sorted(event_ids) else f"event ids {found} instead of {sorted(event_ids)}"


def check_same_body(sent, _, __):
    return "" if len({each.request.body for each in sent}) == 1 else "the requests' bodies differ"


def check_made_ids(sent, count, _):
    ids = {event.event_id for event in sent[0].body.events}
    good = len(ids) == count and all(EVENT_ID.fullmatch(each) for each in ids)
    return "" if good else f"{count} event ids made by the client expected, got {ids}"


def check_timeout(sent, bounds, _):
    found = [each.request.timeout_ms for each in sent]
    good = all(bounds[0] <= each <= bounds[1] for each in found)
    return "" if good else f"timeout_ms {found}, not within {bounds}"


def check_timeout_falls(sent, _, __):
    found = [each.request.timeout_ms for each in sent]
    good = found[0] > 0 and all(a > b > 0 for a, b in zip(found, found[1:]))
    return "" if good else f"timeout_ms does not fall from try to try: {found}"


def check_gap(sent, bounds, _):
    gaps = [round((b.at - a.at) * 1000) for a, b in zip(sent, sent[1:])]
    good = all(bounds[0] <= gap <= bounds[1] for gap in gaps)
    return "" if good else f"{gaps} ms between tries, not within {bounds}"


def check_one_connection(sent, _, __):
    found = len({each.connection for each in sent})
    return "" if found == 1 else f"{found} connections for {len(sent)} requests"


def check_keys(sent, expected, _):
    found = [each.request.metadata.get("authorization", "") for each in sent]
    return "" if found == [key and f"Bearer {key}" for key in expected] else f"keys {found} instead of {expected}"


def check_client_name(sent, _, version):
    name = sent[0].request.metadata.get("client", "")
    good = re.fullmatch(rf"(\S+ )?[a-z+-]+/{re.escape(version)}", name)
    return "" if good else f'metadata "client" is {name!r}, not [PROGRAM ]BINDING/{version}'


def sent_to(sent, name):
    return [each for each in sent if each.request.method.endswith("/" + name)]


def check_pulls(sent, expected, _):
    letters, found = {}, []
    for pull in sent_to(sent, "Pull")[: len(expected)]:
        letter = letters.setdefault(pull.body.pull_id, "abcdefgh"[len(letters)])
        found.append([letter, pull.body.max_events])
    return "" if found == expected and "" not in letters else f"pulls {found} instead of {expected}"


def check_calls(sent, expected, _):
    found = {name: len(sent_to(sent, name)) for name in expected}
    good = all(least <= found[name] <= most for name, (least, most) in expected.items())
    return "" if good else f"calls {found}, not within {expected}"


def check_settled(sent, expected, _):
    found = {name: sorted(id for each in sent_to(sent, name) for id in each.body.ack_ids) for name in expected}
    return "" if found == expected else f"settled were {found} instead of {expected}"


CHECKS = {
    "pulls": check_pulls,
    "calls": check_calls,
    "settled": check_settled,
    "method": check_method,
    "body": check_body,
    "filter": check_filter,
    "after_sequences": check_after_sequences,
    "event_id": check_event_id,
    "event_ids": check_event_ids,
    "same_body": check_same_body,
    "made_ids": check_made_ids,
    "timeout_ms": check_timeout,
    "timeout_falls": check_timeout_falls,
    "gap_ms": check_gap,
    "keys": check_keys,
    "one_connection": check_one_connection,
    "client_name": check_client_name,
}
