"""What no description can say of a header and a body: an event has an id of the caller's own or an
Idempotency-Key, not both, and a key that was taken stands for its event and for no other. And nobody has
time to wait for events."""

import schemathesis

taken = set()


@schemathesis.hook
def before_call(context, case, kwargs):
    events = case.body if isinstance(case.body, list) else [case.body]
    if isinstance(case.query, dict) and str(case.query.get("wait")).isdigit():
        case.query["wait"] = min(int(case.query["wait"]), 1)
    if isinstance(case.body, dict) and isinstance(case.body.get("wait_ms"), int):
        case.body["wait_ms"] = min(case.body["wait_ms"], 100)
    named = any(isinstance(event, dict) and event.get("event_id") for event in events)
    if named or case.headers.get("Idempotency-Key") in taken:
        case.headers.pop("Idempotency-Key", None)


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code < 300:
        taken.add(case.headers.get("Idempotency-Key"))
