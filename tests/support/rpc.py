"""A client on pynng and Python's protobuf: nothing of ours but the .proto files."""

import re
import threading

import pynng

from support.keys import AUTHORIZATION, KEYED
from support.peer import connect
from support.protocol import access, envelope, events, health, subscriptions

EVENT_SERVICE = "triggers.v1.EventService"
SUBSCRIPTION_SERVICE = "triggers.v1.SubscriptionService"
ACCESS_SERVICE = "triggers.v1.AccessService"
HEALTH_CHECK = "triggers.health.v1.Health/Check"
GET_STATS = "triggers.stats.v1.StatsService/GetStats"
# A page token as the version before the log made them: version, list, time and id.
OLD_TOKEN = (bytes([1, 0]) + (1769903999000001).to_bytes(8, "big") + bytes(range(16))).hex()
MAX_MESSAGE = 64 << 20  # bytes this client takes; more than any answer has


class RpcError(Exception):
    """A Response whose code is not OK."""

    def __init__(self, response):
        self.response = response
        self.code = envelope.Code.Name(response.code)
        self.reason = response.details.reason
        self.details = response.details
        super().__init__(f"{self.code} {self.reason}: {response.message}")

    @property
    def fields(self):
        """Names of the fields at fault."""
        return [violation.field for violation in self.details.field_violations]


class RpcClient:
    """One REQ socket to one core; any thread may call, many calls at once. With `key`, the text of one,
    every call has it."""

    def __init__(self, url, ca_file=None, server_name="localhost", key=None):
        tls = None
        self.key = key
        if ca_file:
            tls = pynng.TLSConfig(
                pynng.TLSConfig.MODE_CLIENT, server_name=server_name, ca_files=str(ca_file)
            )
        self._lock = threading.Lock()
        self._socket = pynng.Req0(
            tls_config=tls,
            recv_max_size=MAX_MESSAGE,
            reconnect_time_min=20,
            reconnect_time_max=200,
        )
        try:
            self._socket.dial(url, block=False)
        except pynng.NNGException:
            self._socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()

    def _context(self, timeout):
        with self._lock:  # a context takes the socket's time-outs when it is made
            self._socket.send_timeout = self._socket.recv_timeout = int(timeout * 1000)
            return self._socket.new_context()

    def raw(self, message, timeout=20.0):
        """Sends bytes, returns the reply's bytes; pynng.Timeout when none comes in time."""
        context = self._context(timeout)
        try:
            context.send(message)
            return context.recv()
        finally:
            context.close()

    def start(self, messages, timeout=60.0):
        """Sends all messages before any reply is read; yields the Response envelopes in order."""
        contexts = [self._context(timeout) for _ in messages]
        try:
            for context, message in zip(contexts, messages):
                context.send(message)
        except BaseException:
            close_all(contexts)
            raise
        return self._replies(contexts)

    def _replies(self, contexts):
        try:
            for context in contexts:
                yield envelope.Response.FromString(context.recv())
        finally:
            close_all(contexts)

    def call(self, method, request, timeout=20.0, metadata=None, timeout_ms=0):
        """Calls "package.Service/Method" with a message or bytes; returns the Response envelope."""
        if self.key is not None:
            metadata = {"authorization": f"Bearer {self.key}", **(metadata or {})}
        message = encode(method, request, metadata, timeout_ms)
        return envelope.Response.FromString(self.raw(message, timeout))

    def event(self, method, request=None, timeout=20.0, timeout_ms=0, **fields):
        """Calls a method of EventService with a request message or its fields; returns the answer's
        message, raises RpcError."""
        if request is None:
            request = getattr(events, method + "Request")(**fields)
        response = self.call(f"{EVENT_SERVICE}/{method}", request, timeout, timeout_ms=timeout_ms)
        return decode(response, getattr(events, method + "Response"))

    def subscription(self, method, name, timeout=20.0, timeout_ms=0, **fields):
        """The same for a method of SubscriptionService about the subscription of that name."""
        request = getattr(subscriptions, method + "Request")(name=name, **fields)
        response = self.call(f"{SUBSCRIPTION_SERVICE}/{method}", request, timeout, timeout_ms=timeout_ms)
        return decode(response, getattr(subscriptions, method + "Response"))

    def access(self, method, timeout=20.0, **fields):
        """The same for a method of AccessService."""
        request = getattr(access, method + "Request")(**fields)
        response = self.call(f"{ACCESS_SERVICE}/{method}", request, timeout)
        return decode(response, getattr(access, method + "Response"))

    def health(self, service="", timeout=20.0):
        """Health Check; returns HealthCheckResponse, raises RpcError."""
        request = health.HealthCheckRequest(service=service)
        return decode(self.call(HEALTH_CHECK, request, timeout), health.HealthCheckResponse)

    def serving(self):
        """Whether the core answers now that it serves."""
        try:
            return self.health(timeout=1.0).status == health.HealthCheckResponse.SERVING
        except (RpcError, pynng.NNGException, OSError):
            return False

    def answers(self):
        """Whether the core answers a Health call now, whatever it says."""
        try:
            self.health(timeout=1.0)
            return True
        except RpcError:
            return True
        except (pynng.NNGException, OSError):
            return False

    def create(self, source="crm", event_type="lead.created", payload=b"{}", event_id=""):
        """Creates one event; returns CreateEventResponse."""
        return self.event(
            "CreateEvent", source=source, event_type=event_type, payload=payload, event_id=event_id
        )


class BareClient(RpcClient):
    """One call at a time over a bare peer, which is made anew after every failure (an OSError). For
    tests that cut thousands of connections: pynng's nng (1.11) aborts at one in some thousand."""

    def __init__(self, url, key=None):
        self.key = key
        self._url = url
        self._peer = None
        self._number = 0

    def close(self):
        if self._peer:
            self._peer.close()
        self._peer = None

    def raw(self, message, timeout=20.0):
        try:
            self._peer = self._peer or connect(self._url, timeout)
            self._number += 1
            self._peer.send(message, self._number)
            number, answer = self._peer.receive()
        except OSError:
            self.close()
            raise
        assert number == self._number, f"the answer of call {number} came to call {self._number}"
        return answer


def close_all(contexts):
    for context in contexts:
        context.close()


def encode(method, request, metadata=None, timeout_ms=0):
    """The bytes of a Request envelope."""
    if KEYED:
        metadata = {"authorization": AUTHORIZATION, **(metadata or {})}
    body = request if isinstance(request, bytes) else request.SerializeToString()
    return envelope.Request(
        method=method, timeout_ms=timeout_ms, metadata=metadata or {}, body=body
    ).SerializeToString()


def decode(response, message_type):
    """The answer's message of a Response that must be OK, else RpcError."""
    if response.code != envelope.OK:
        raise RpcError(response)
    return message_type.FromString(response.body)


def fails(code, call, *arguments, **fields):
    """Asserts that a call fails with `code`, a reason for programs and a text for people; returns
    the RpcError."""
    try:
        answer = call(*arguments, **fields)
    except RpcError as error:
        assert error.code == code, f"expected {code}, got {error}"
        assert re.fullmatch(r"[A-Z0-9_]{1,63}", error.reason), f"bad reason in {error}"
        assert error.response.message, "an error without a text for people"
        assert not error.response.body, "an error with a body"
        return error
    raise AssertionError(f"expected {code}, got {answer}")


def check_item_error(error, code):
    """Asserts the same of an item's error in a batch answer."""
    name = envelope.Code.Name(error.code)
    assert name == code, f"expected {code}, got {name}: {error.message}"
    assert re.fullmatch(r"[A-Z0-9_]{1,63}", error.details.reason)
    assert error.message
