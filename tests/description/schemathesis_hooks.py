"""What no description can say of a header and a body: an event has an id of the caller's own or an
Idempotency-Key, not both, and a key that was taken stands for its event and for no other."""

import schemathesis

taken = set()


@schemathesis.hook
def before_call(context, case, kwargs):
    events = case.body if isinstance(case.body, list) else [case.body]
    named = any(isinstance(event, dict) and event.get("event_id") for event in events)
    if named or case.headers.get("Idempotency-Key") in taken:
        case.headers.pop("Idempotency-Key", None)


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code < 300:
        taken.add(case.headers.get("Idempotency-Key"))
