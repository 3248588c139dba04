"""Keys of a running core, made by its operator."""

from support.keys import id_of, make_key
from support.protocol import options
from support.rpc import fails

OPERATOR = make_key()
REQUIRED = {"TRIGGERS_AUTH": "required", "TRIGGERS_OPERATOR_KEY": OPERATOR}
SCOPES = {
    name.removeprefix("SCOPE_"): number
    for name, number in options.Scope.items()
    if name not in ("SCOPE_UNSPECIFIED", "SCOPE_NONE")
}
FOLLOWS = 5.0  # seconds after which every core knows of a change


def scope_text(name):
    """EVENTS_WRITE as it is written for people."""
    return name.lower().replace("_", ":")


def make(operator, *scopes, tenant="default", name="a test's", **fields):
    """Makes a key with these scopes, or all; returns its text."""
    wanted = [SCOPES[scope] for scope in scopes or SCOPES]
    return operator.access("CreateKey", tenant=tenant, name=name, scopes=wanted, **fields).key


def revoke(operator, key, tenant="default"):
    operator.access("RevokeKey", tenant=tenant, key_id=id_of(key))


def refused(code, reason, call, *arguments, **fields):
    """Asserts that a call fails so; returns the text for people."""
    error = fails(code, call, *arguments, **fields)
    assert error.reason == reason, error
    return error.response.message
