"""What no description can say of a header and a body: an event has an id of the caller's own or an
Idempotency-Key, not both, and a key that was taken stands for its event and for no other. It has an ordering
key or a delay, which is not too long. And nobody has time to wait for events."""

from datetime import datetime, timedelta, timezone

import schemathesis

taken = set()


def leave_one_delivery(event):
    """Of an ordering key and the two ways to delay an event, the first that is there."""
    key = event.get("ordering_key")
    if isinstance(key, str):
        event["ordering_key"] = key.encode(errors="surrogatepass")[:255].decode(errors="ignore")
    delays = [name for name in ("deliver_at", "delay_seconds") if event.get(name) is not None]
    for name in delays if key else delays[1:]:
        del event[name]
    if isinstance(event.get("deliver_at"), str):
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        event["deliver_at"] = soon.strftime("%Y-%m-%dT%H:%M:%SZ")


@schemathesis.hook
def before_call(context, case, kwargs):
    events = case.body if isinstance(case.body, list) else [case.body]
    if isinstance(case.query, dict) and str(case.query.get("wait")).isdigit():
        case.query["wait"] = min(int(case.query["wait"]), 1)
    if isinstance(case.body, dict) and isinstance(case.body.get("wait_ms"), int):
        case.body["wait_ms"] = min(case.body["wait_ms"], 100)
    if case.operation.path.startswith("/api/v1/events"):
        for event in events:
            if isinstance(event, dict):
                leave_one_delivery(event)
    named = any(isinstance(event, dict) and event.get("event_id") for event in events)
    if named or case.headers.get("Idempotency-Key") in taken:
        case.headers.pop("Idempotency-Key", None)


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code < 300:
        taken.add(case.headers.get("Idempotency-Key"))
