"""Who gets in: the three modes, keys that are none, the scope of each method, and what nobody learns."""

import time

import pytest

from support.keyring import OPERATOR, REQUIRED, SCOPES, make, refused, revoke, scope_text
from support.keys import id_of, make_key, with_checksum, write_key
from support.network import free_port, wait_until
from support.program import run
from support.protocol import access, envelope, events, health, options, stats, subscriptions
from support.rpc import ACCESS_SERVICE, EVENT_SERVICE, HEALTH_CHECK, RpcError, decode, encode

CORE_SETTINGS = REQUIRED
MODULES = (access, events, health, stats, subscriptions)


@pytest.fixture(scope="module")
def operator(core):
    with core.client(key=OPERATOR) as client:
        yield client


@pytest.fixture
def caller(core):
    """A client whose key the test sets."""
    with core.client() as client:
        yield client


def methods():
    """Name, request and scope of every method there is."""
    for module in MODULES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                name = f"{service.full_name}/{method.name}"
                yield name, method.GetOptions().Extensions[options.call].scope


# ---- keys that are none ----


def test_without_a_key_nothing_but_health_answers(rpc):
    text = refused("UNAUTHENTICATED", "KEY_MISSING", rpc.create)
    assert "Bearer" in text
    assert rpc.health().status == health.HealthCheckResponse.SERVING
    assert rpc.health().auth == "required"


def wrong_keys(good):
    """Texts that are not a good key of the core, by what is wrong with them."""
    head, secret = good[:17], good[17:60]
    other = ("a" if secret[0] != "a" else "b") + secret[1:]
    yield "unknown", make_key()
    yield "another secret", with_checksum(head + other)
    yield "a wrong checksum", good[:-1] + ("0" if good[-1] != "0" else "1")
    yield "one character less", good[:-1]
    yield "one character more", good + "0"
    yield "another prefix", "trx_" + good[4:]
    yield "nothing", ""
    yield "no ASCII", "trg_é" + good[6:]
    yield "a line after it", good + "\n"
    yield "long", "trg_" + 100_000 * "a"


def test_every_wrong_key_is_refused_alike(caller, operator):
    texts = set()
    for what, key in wrong_keys(OPERATOR):
        caller.key = key
        texts.add(refused("UNAUTHENTICATED", "KEY_INVALID", caller.create))
        assert len(texts) == 1, what
    for key in (make(operator), make(operator)):
        revoke(operator, key)
        caller.key = key
        texts.add(refused("UNAUTHENTICATED", "KEY_INVALID", caller.create))
    assert len(texts) == 1


@pytest.mark.parametrize("value", ["{}", "Basic {}", "Bearer", "Bearer  ", "BearerX {}", "Bearer {} {}"])
def test_what_is_no_bearer_is_refused(rpc, value):
    given = {"authorization": value.format(OPERATOR, OPERATOR)}
    response = rpc.call(f"{EVENT_SERVICE}/ListInbox", events.ListInboxRequest(), metadata=given)
    assert response.code == envelope.UNAUTHENTICATED and response.details.reason == "KEY_INVALID"


@pytest.mark.parametrize("keys", [(make_key(), OPERATOR), (OPERATOR, make_key())])
def test_of_several_authorizations_the_last_one_counts(rpc, keys):
    """As of every key of a map: whoever could add one would need a good key."""
    entries = b"".join(encode("", b"", {"authorization": f"Bearer {key}"}) for key in keys)
    message = entries + encode(f"{EVENT_SERVICE}/ListInbox", events.ListInboxRequest())
    answer = envelope.Response.FromString(rpc.raw(message))
    assert answer.code == (envelope.OK if keys[-1] == OPERATOR else envelope.UNAUTHENTICATED)


def test_a_wrong_key_is_refused_where_none_is_needed(caller):
    caller.key = make_key()
    refused("UNAUTHENTICATED", "KEY_INVALID", caller.health)
    caller.key = OPERATOR
    assert caller.health().auth == "required"


def test_the_body_is_not_read_before_the_key(rpc):
    answer = rpc.call(f"{EVENT_SERVICE}/CreateEvent", b"\xff\xff\xff")
    assert answer.details.reason == "KEY_MISSING"


def test_unknown_methods_are_told_to_anyone(rpc):
    assert rpc.call("triggers.v1.EventService/Nothing", b"").code == envelope.UNIMPLEMENTED


# ---- scopes ----


@pytest.fixture(scope="module")
def keys_of_scopes(operator):
    """Of each scope: a key with it alone, and one with all but it."""
    others = {name: [other for other in SCOPES if other != name] for name in SCOPES}
    return {name: (make(operator, name), make(operator, *others[name])) for name in SCOPES}


@pytest.mark.parametrize("method, scope", [pytest.param(*row, id=row[0]) for row in methods()])
def test_each_method_needs_its_scope_and_no_other(caller, keys_of_scopes, method, scope):
    name = options.Scope.Name(scope).removeprefix("SCOPE_")
    if name == "NONE":
        assert method == HEALTH_CHECK
        return
    caller.key, lacking = keys_of_scopes[name]
    answer = caller.call(method, b"")  # wrong for most methods, and harmless for all
    assert answer.details.reason not in ("SCOPE_MISSING", "KEY_INVALID"), answer
    caller.key = lacking
    answer = caller.call(method, b"")
    assert answer.code == envelope.PERMISSION_DENIED and answer.details.reason == "SCOPE_MISSING"
    assert scope_text(name) in answer.message and method.rpartition("/")[2] in answer.message


# ---- what the calls of access answer ----


def test_a_key_is_shown_once(operator):
    made = operator.access("CreateKey", tenant="default", name="shown", scopes=[SCOPES["EVENTS_READ"]])
    assert id_of(made.key) == made.details.key_id
    secret = made.key[17:]
    got = operator.access("GetKey", tenant="default", key_id=made.details.key_id)
    assert got.key.name == "shown" and secret not in str(got)
    assert secret not in str(operator.access("ListKeys", tenant="default", page_size=1000))


def test_lists_have_pages(operator):
    made = {id_of(make(operator, "EVENTS_READ")) for _ in range(5)}
    found, token, pages = [], "", 0
    while pages == 0 or token:
        page = operator.access("ListKeys", tenant="default", page_size=3, page_token=token)
        assert len(page.keys) <= 3
        found += [key.key_id for key in page.keys]
        token, pages = page.next_page_token, pages + 1
    assert len(found) == len(set(found)) and made <= set(found)
    first = operator.access("ListKeys", tenant="default", page_size=1)
    for method in ("ListTenants", "ListAuditRecords"):
        fields = {} if method == "ListTenants" else {"tenant": "default"}
        refused(
            "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", operator.access, method,
            page_token=first.next_page_token, **fields,
        )  # fmt: skip
    error = refused(
        "INVALID_ARGUMENT", "PAGE_SIZE_INVALID", operator.access, "ListTenants", page_size=1001
    )
    assert "1 to 1000" in error


def test_wrong_fields_are_named(operator):
    with pytest.raises(RpcError) as caught:
        operator.access("CreateKey", tenant="default", name="", scopes=[SCOPES["EVENTS_READ"]])
    assert caught.value.code == "INVALID_ARGUMENT" and caught.value.fields == ["name"]
    with pytest.raises(RpcError) as caught:
        operator.access("CreateKey", tenant="default", name="no scope")
    assert caught.value.code == "INVALID_ARGUMENT" and caught.value.fields == ["scopes"]


def test_who_manages_keys_gives_no_more_than_he_has(caller, operator):
    caller.key = make(operator, "KEYS_MANAGE", "EVENTS_READ", sources=["crm"])
    wanted = {"tenant": "default", "name": "more"}
    for scopes, limits in (
        (["EVENTS_WRITE"], {"sources": ["crm"]}),
        (["OPERATOR"], {"sources": ["crm"]}),
        (["EVENTS_READ"], {}),
        (["EVENTS_READ"], {"sources": ["crm*"]}),
        (["EVENTS_READ"], {"sources": ["erp"]}),
    ):
        numbers = [SCOPES[scope] for scope in scopes]
        with pytest.raises(RpcError) as caught:
            caller.access("CreateKey", scopes=numbers, **wanted, **limits)
        assert caught.value.code == "PERMISSION_DENIED", (scopes, limits)
    made = caller.access("CreateKey", scopes=[SCOPES["EVENTS_READ"]], sources=["crm"], **wanted)
    assert made.details.sources == ["crm"]


def test_rotation_overlaps(caller, operator):
    old = make(operator, "EVENTS_READ")
    answer = operator.access("RotateKey", tenant="default", key_id=id_of(old), overlap_seconds=2)
    for key in (old, answer.key):
        caller.key = key
        caller.event("ListInbox")
    caller.key = old
    wait_until(lambda: is_refused(caller), "the end of the old key", 10)
    caller.key = answer.key
    caller.event("ListInbox")


def is_refused(client):
    try:
        client.event("ListInbox")
        return False
    except RpcError as error:
        assert error.reason == "KEY_INVALID", error
        return True


def test_a_key_expires(caller, operator):
    until = {"seconds": int(time.time()) + 2}
    caller.key = make(operator, "EVENTS_READ", expires_at=until)
    caller.event("ListInbox")
    wait_until(lambda: is_refused(caller), "its end", 10)
    assert time.time() >= until["seconds"]


def test_what_is_deleted_or_changed_is_recorded(core, operator):
    client = core.client(key=make(operator, name="does it"))
    with client:
        created = client.create()
        client.subscription("PutSubscription", "recorded", start="earliest")
        client.subscription("Seek", "recorded", to="latest", dry_run=True)
        client.subscription("Seek", "recorded", to="latest")
        client.subscription("DeleteDeadLetters", "recorded", all=True, dry_run=True)
        client.subscription("DeleteDeadLetters", "recorded", all=True)
        client.subscription("DeleteSubscription", "recorded")
        client.event("EraseEvent", event_id=created.event_id)
        for nothing in ("evt_00000000000000000000000000", "no id"):  # is no change, and not recorded
            with pytest.raises(RpcError):
                client.event("EraseEvent", event_id=nothing)

    def records():
        found = operator.access("ListAuditRecords", tenant="default", page_size=100).records
        return [one for one in found if one.key_id == id_of(client.key)]

    done = wait_until(lambda: len(records()) >= 5 and records(), "the records")
    assert [(one.action, one.target, one.result) for one in reversed(done)] == [
        ("PutSubscription", "recorded", "OK"),
        ("Seek", "recorded", "OK"),
        ("DeleteDeadLetters", "recorded", "OK"),
        ("DeleteSubscription", "recorded", "OK"),
        ("EraseEvent", created.event_id, "OK"),
    ]
    assert all(one.address == "127.0.0.1" and one.request_id for one in done)


# ---- modes ----


def test_without_auth_a_key_is_ignored_and_none_is_made(start_core, new_store_url):
    core = start_core(DATABASE_URL=new_store_url(), TRIGGERS_AUTH="off")
    with core.client(key="nonsense") as client:
        client.create()
        assert client.health().auth == "off"
        for name in access.DESCRIPTOR.services_by_name["AccessService"].methods_by_name:
            answer = client.call(f"{ACCESS_SERVICE}/{name}", b"")
            assert answer.code == envelope.FAILED_PRECONDITION and answer.details.reason == "AUTH_OFF"
            assert "TRIGGERS_AUTH" in answer.message


def test_with_optional_keys_a_call_without_one_has_events_and_subscriptions(start_core, new_store_url):
    core = start_core(DATABASE_URL=new_store_url(), **{**REQUIRED, "TRIGGERS_AUTH": "optional"})
    with core.client() as client:
        assert client.health().auth == "optional"
        event_id = client.create().event_id
        client.subscription("PutSubscription", "open", start="earliest")
        assert len(client.subscription("Pull", "open").deliveries) == 1
        for method, scope in methods():
            name = options.Scope.Name(scope).removeprefix("SCOPE_")
            answer = client.call(method, b"")
            lacks = answer.details.reason == "SCOPE_MISSING"
            assert lacks == (name in ("KEYS_MANAGE", "OPERATOR", "AUDIT_READ")), method
        client.key = make_key()
        refused("UNAUTHENTICATED", "KEY_INVALID", client.create)
        client.key = OPERATOR
        client.key = make(client, "EVENTS_READ")
        assert client.event("GetEvent", event_id=event_id).event.event_id == event_id
        refused("PERMISSION_DENIED", "SCOPE_MISSING", client.create)


def test_from_off_over_optional_to_required(start_core, new_store_url):
    """One store, a core after the other: whoever has a key by then is served all the way."""
    url = new_store_url()
    core = start_core(DATABASE_URL=url)
    with core.client() as client:
        event_id = client.create().event_id
    core.stop()
    core = start_core(DATABASE_URL=url, **{**REQUIRED, "TRIGGERS_AUTH": "optional"})
    with core.client(key=OPERATOR) as client:
        key = make(client, "EVENTS_READ")
    core.stop()
    core = start_core(DATABASE_URL=url, TRIGGERS_AUTH="required")
    with core.client(key=key) as client:
        assert client.event("GetEvent", event_id=event_id).event.event_id == event_id


@pytest.mark.parametrize("mode, host, warns", [
    ("off", "127.0.0.1", False),
    ("off", "0.0.0.0", True),
    ("optional", "0.0.0.0", True),
    ("required", "0.0.0.0", False),
])  # fmt: skip
@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_open_doors_are_warned_of(start_core, mode, host, warns, scheme):
    path = "/rpc" if scheme == "ws" else ""
    urls = f"{scheme}://127.0.0.1:{free_port()}{path},{scheme}://{host}:{free_port()}{path}"
    core = start_core(TRIGGERS_LISTEN=urls, TRIGGERS_AUTH=mode)
    warnings = [line for line in core.log if "TRIGGERS_AUTH=required" in line["message"]]
    assert all(line["level"] == "warning" for line in warnings)
    assert len(warnings) == warns
    assert all(line["auth"] == mode for line in warnings)


# ---- the operator's key of the settings ----


def test_the_operators_key_comes_from_a_file(start_core, new_store_url, tmp_path):
    path, key = write_key(tmp_path)
    url = new_store_url()
    settings = {"TRIGGERS_AUTH": "required", "TRIGGERS_OPERATOR_KEY_FILE": path, "DATABASE_URL": url}
    for _ in range(2):  # the second time it is there
        core = start_core(**settings)
        with core.client(key=key) as client:
            keys = client.access("ListKeys", tenant="default").keys
            assert [one.key_id for one in keys] == [id_of(key)]
            assert set(keys[0].scopes) == set(SCOPES.values())
        core.stop()
    core = start_core(**settings)
    with core.client(key=key) as client:
        revoke(client, key)
    core.stop()
    core = start_core(**settings)  # it is said, and no reason not to start
    assert any("good no more" in line["message"] for line in core.log)
    with core.client(key=key) as client:
        refused("UNAUTHENTICATED", "KEY_INVALID", client.create)


def test_an_operators_key_that_cannot_be_taken_stops_the_start(start_core, new_store_url, tmp_path):
    path, key = write_key(tmp_path)

    def line(**settings):
        settings.setdefault("TRIGGERS_LISTEN", f"tcp://127.0.0.1:{free_port()}")
        done = run("triggersd", folder=tmp_path, **settings)
        assert done.returncode in (1, 2) and key[17:60] not in done.stdout + done.stderr
        return done.returncode, done.stderr

    assert line(TRIGGERS_OPERATOR_KEY_FILE=path, TRIGGERS_OPERATOR_KEY=key)[0] == 2
    assert line(TRIGGERS_OPERATOR_KEY_FILE=tmp_path / "none")[0] == 2
    assert line(TRIGGERS_OPERATOR_KEY=key[:-1])[0] == 2
    path.write_text("")
    assert line(TRIGGERS_OPERATOR_KEY_FILE=path)[0] == 2
    url = new_store_url()
    start_core(DATABASE_URL=url, TRIGGERS_OPERATOR_KEY=key).stop()
    other = make_key(key_id=id_of(key))
    code, text = line(DATABASE_URL=url, TRIGGERS_OPERATOR_KEY=other)
    assert code == 1 and other[17:60] not in text


# ---- what nobody learns ----


def test_no_secret_is_in_the_log_or_the_command_line(start_core, new_store_url, tmp_path):
    key = make_key()
    core = start_core("--operator-key", key, DATABASE_URL=new_store_url(), TRIGGERS_AUTH="required")
    used = [key, make_key()]
    with core.client() as client:
        for client.key in used:
            refused_or_not = client.call(f"{EVENT_SERVICE}/ListInbox", events.ListInboxRequest())
            assert refused_or_not.code in (envelope.OK, envelope.UNAUTHENTICATED)
        client.key = key
        used.append(make(client, "EVENTS_READ"))
        client.key = used[-1]
        client.event("ListInbox")
    wait_until(lambda: any(line.get("key") == id_of(used[-1]) for line in core.log), "its id in the log")
    everything = "\n".join(core.output) + core.command_line()
    for one in used:
        assert one[17:60] not in everything


# ---- addresses ----


def listed(client, address=None):
    metadata = {"authorization": f"Bearer {client.key}"}
    if address is not None:
        metadata["address"] = address
    response = client.call(f"{EVENT_SERVICE}/ListInbox", events.ListInboxRequest(), metadata=metadata)
    try:
        decode(response, events.ListInboxResponse)
        return True
    except RpcError as error:
        assert error.reason == "KEY_INVALID", error
        return False


def test_a_key_works_from_its_addresses(caller, operator):
    caller.key = make(operator, "EVENTS_READ", addresses=["127.0.0.0/8"])
    assert listed(caller)
    caller.key = make(operator, "EVENTS_READ", addresses=["198.51.100.0/24", "2001:db8::/32"])
    assert not listed(caller)
    for address, good in {
        "198.51.100.7": True,
        "::ffff:198.51.100.7": True,
        "2001:db8::1": True,
        "198.51.101.7": False,
        "": False,
        "198.51.100.7, 127.0.0.1": False,
        "198.51.100.7\u0020": False,
        "198.51.100.7:80": False,
    }.items():
        assert listed(caller, address) == good, address
    caller.key = make(operator, "EVENTS_READ", addresses=["127.0.0.1"])
    assert not listed(caller, "nonsense")  # it is not replaced by the bridge's own


def test_only_a_bridge_says_where_a_call_comes_from(start_core, new_store_url):
    core = start_core(DATABASE_URL=new_store_url(), TRIGGERS_BRIDGES="192.0.2.0/24", **REQUIRED)
    with core.client(key=OPERATOR) as client:
        client.key = make(client, "EVENTS_READ", addresses=["127.0.0.1"])
        assert listed(client) and listed(client, "198.51.100.7")
        client.key = OPERATOR
        client.key = make(client, "EVENTS_READ", addresses=["198.51.100.7"])
        assert not listed(client) and not listed(client, "198.51.100.7")


def test_a_local_socket_counts_as_loopback(start_core, new_store_url, tmp_path):
    core = start_core(
        DATABASE_URL=new_store_url(), TRIGGERS_LISTEN=f"ipc://{tmp_path}/core", **REQUIRED
    )
    with core.client(key=OPERATOR) as client:
        client.key = make(client, "EVENTS_READ", addresses=["127.0.0.1"])
        assert listed(client) and not listed(client, "198.51.100.7")


def test_the_identity_is_the_keys_and_nothing_elses(rpc):
    """What else a caller writes beside his request gives him nothing."""
    for name in ("tenant", "scope", "key", "key-id", "x-forwarded-for", "Authorization", "AUTHORIZATION"):
        given = {name: f"Bearer {OPERATOR}" if "uth" in name.lower() else "default"}
        response = rpc.call(f"{EVENT_SERVICE}/ListInbox", events.ListInboxRequest(), metadata=given)
        assert response.details.reason == "KEY_MISSING", name
