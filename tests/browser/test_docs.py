"""/docs and /redoc: every field of the description, in a browser, for everyone, and with nothing else."""

import json
import re
import subprocess

import pytest

from browser.conftest import SIZES
from rest.checks import CREATE, MISSING_ID, create
from support.keys import make_key

PATHS = ["/docs", "/redoc"]


@pytest.fixture(scope="module")
def api(http):
    return http.get("/openapi.json").json()


def operations(api):
    for path, item in api["paths"].items():
        for method in ("get", "post", "delete"):
            if method in item:
                parameters = [*item.get("parameters", []), *item[method].get("parameters", [])]
                yield path, method.upper(), item[method], [resolve(api, each) for each in parameters]


def resolve(api, value):
    for name in value.get("$ref", "#")[2:].split("/"):
        value = api[name] if name in api else value[name] if name else value
    return value


def open_call(page, name):
    """Opens a call by hand and returns it."""
    call = page.locator(f"details#{name}")
    call.locator("summary").first.click()
    call.get_by_role("button", name="Send").wait_for()
    return call


def send(page, call):
    """Presses Send; returns what the answer says of itself and its body."""
    call.get_by_role("button", name="Send").click()
    status = call.locator(".status")
    status.filter(has_text=re.compile(r" in \d+ ms, \d+ bytes$")).wait_for()
    return status.text_content(), call.get_by_role("region").text_content()


def words(text):
    return " ".join(text.replace("`", "").split())


# ---- what is told ----


def told_of_fields(api, schema, seen=()):
    """What must be read of a schema: names and descriptions of all members, enums and bounds."""
    name = schema.get("$ref")
    if name in seen:
        return
    schema = resolve(api, schema)
    for field, member in schema.get("properties", {}).items():
        yield field
        yield from told_of_fields(api, member, (*seen, name))
    yield words(schema.get("description", ""))
    for key in ("pattern", "default", "const", "maximum", "maxLength", "maxItems"):
        if key in schema:
            yield schema[key] if isinstance(schema[key], str) else json.dumps(schema[key])
    yield from ("null" if value is None else value for value in schema.get("enum", []))
    for part in (schema.get("items"), *schema.get("oneOf", [])):
        if part:
            yield from told_of_fields(api, part, (*seen, name))


def told_of_call(api, call, parameters):
    yield call["summary"]
    yield from (words(part) for part in call.get("description", "").split("\n\n"))
    for parameter in parameters:
        yield parameter["name"]
        yield words(parameter["description"])
        yield from told_of_fields(api, parameter["schema"])
    answers = [resolve(api, answer) for answer in call["responses"].values()]
    yield from call["responses"]
    yield from (words(answer["description"]) for answer in answers)
    body = call.get("requestBody", {"content": {}})["content"]
    content = [body["application/json"]] if "application/json" in body else []
    for media in [*content, *(media for answer in answers for media in answer["content"].values())]:
        yield from told_of_fields(api, media["schema"])


def test_every_field_of_every_call_is_told(open_page, api):
    page = open_page("/docs")
    for path, method, call, parameters in operations(api):
        element = open_call(page, call["operationId"])
        text = words(element.text_content())
        assert f"{method} {path}" in text
        missing = [told for told in told_of_call(api, call, parameters) if told not in text]
        assert missing == [], call["operationId"]


def test_types_and_required_fields(open_page):
    body = open_call(open_page("/docs"), "createEvent").locator(".body dl").first
    heads = [words(text) for text in body.locator("dt").all_text_contents()]
    assert heads == [
        "event_id string or null",
        "source string required",
        "event_type string required",
        "payload object required",
        "ordering_key string or null",
        "deliver_at string (date-time) or null",
        "delay_seconds integer or null",
    ]
    assert "1 to 255 characters; matches" in body.text_content()


def test_the_reference_tells_all_once(open_page, api):
    page = open_page("/redoc")
    text = words(page.locator("main").text_content())
    for path, method, call, parameters in operations(api):
        assert f"{method} {path}" in text
        missing = [told for told in told_of_call(api, call, parameters) if told not in text]
        assert missing == [], call["operationId"]
    for paragraph in api["info"]["description"].split("\n\n"):
        assert text.count(words(paragraph)) == 1
    assert page.locator("form, input, textarea, button, details").count() == 0
    targets = page.locator("main a[href^='#']").evaluate_all("all => all.map((a) => a.hash.slice(1))")
    ids = page.locator("[id]").evaluate_all("all => all.map((each) => each.id)")
    assert set(targets) <= set(ids) and len(ids) == len(set(ids))


def test_the_reference_prints_in_one_column(open_page):
    page = open_page("/redoc")
    page.emulate_media(media="print")
    assert page.get_by_text("Try createEvent", exact=True).is_hidden()
    lefts = page.locator(".entry").evaluate_all("all => all.map((each) => each.getBoundingClientRect().left)")
    assert len(set(lefts)) == 1
    assert page.pdf().startswith(b"%PDF")


# ---- keys ----


def where_a_key_could_stay(page):
    return page.evaluate("[document.cookie, location.href, JSON.stringify({...localStorage, ...sessionStorage})]")


def test_a_key_is_sent_with_each_call_and_stays_in_the_page(open_page):
    page = open_page("/docs")
    sent = []
    page.on("request", lambda request: sent.append(request.headers.get("authorization")))
    call = open_call(page, "listInbox")
    send(page, call)
    page.get_by_label("Key", exact=True).fill(" trg_a_key ")
    assert "Bearer $TRIGGERS_API_KEY" in call.locator("pre", has_text="curl").text_content()
    send(page, call)
    assert sent == [None, "Bearer trg_a_key"]
    assert "trg_a_key" not in page.locator("main").text_content()
    assert not any("trg_a_key" in place for place in where_a_key_could_stay(page))
    page.reload()
    page.wait_for_selector("main > header")
    assert page.get_by_label("Key", exact=True).input_value() == ""


@pytest.mark.parametrize("path", PATHS)
def test_a_document_that_needs_a_key_is_asked_for(browser, start_core, start_bridge, path):
    key = make_key()
    core = start_core(TRIGGERS_AUTH="required", TRIGGERS_OPERATOR_KEY=key)
    bridge = start_bridge(core, TRIGGERS_BRIDGE_DOCS="key")
    page = browser.new_page()
    page.goto(bridge.url + path)
    field = page.get_by_label("Key", exact=True)
    field.fill(make_key())
    page.get_by_role("button", name="Read").click()
    page.get_by_text("openapi.json is answered with 401").wait_for()
    field.fill(key)
    field.press("Enter")
    page.get_by_role("heading", name="Zapier Triggers API").wait_for()
    if path == "/docs":
        call = open_call(page, "listTenants")
        assert send(page, call)[0].startswith("200")
    assert not any(key in place for place in where_a_key_could_stay(page))
    page.close()


# Features of OpenAPI 3.1 that today's document does not use.
RICH = {
    "openapi": "3.1.0",
    "info": {"title": "Rich", "version": "1", "description": "One.\n\n- a\n- `b`"},
    "tags": [{"name": "known"}, {"name": "unused"}],
    "paths": {
        "/things/{kind}/{name}": {"$ref": "#/components/pathItems/a~1b"},
        "/plain": {"get": {"responses": {"204": {"description": "Nothing."}}}},
    },
    "components": {
        "pathItems": {
            "a/b": {
                "parameters": [
                    {"name": "kind", "in": "path", "required": True, "schema": {"enum": ["x", "y"]}},
                    {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "tags", "in": "query", "description": "replaced", "schema": {}},
                ],
                "put": {
                    "tags": ["late"],
                    "operationId": "PutThing",
                    "deprecated": True,
                    "parameters": [
                        {
                            "name": "tags",
                            "in": "query",
                            "description": "of the call",
                            "schema": {"type": "array", "items": {"type": "string"}},
                        },
                        {"name": "dry", "in": "query", "schema": {"type": "boolean"}},
                    ],
                    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}}},
                    "responses": {"default": {"description": "All."}},
                },
            }
        },
        "schemas": {
            "Named": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "example": "n"}}},
            "Tree": {
                "allOf": [
                    {"$ref": "#/components/schemas/Named"},
                    {
                        "required": ["count"],
                        "properties": {
                            "count": {"type": "integer", "format": "int64", "exclusiveMinimum": 0, "minimum": 1},
                            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
                            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                            "parent": {
                                "description": "beside the reference",
                                "anyOf": [{"$ref": "#/components/schemas/Named"}, {"type": "null"}],
                            },
                        },
                    },
                ]
            },
        },
    },
}


@pytest.fixture
def open_rich(open_page, bridge):
    """Opens a page over RICH instead of the bridge's own document."""

    def open_rich(path):
        page = open_page(path)
        page.route("**/openapi.json", lambda route: route.fulfill(json=RICH))
        page.reload()
        page.wait_for_selector("main > header")
        return page

    return open_rich


def test_what_openapi_has_and_todays_document_has_not(open_rich):
    page = open_rich("/docs")
    assert page.locator("h2").all_text_contents() == ["late", "other"]
    assert page.locator("header li").all_text_contents() == ["a", "b"]
    call = open_call(page, "PutThing")
    heads = [words(text) for text in call.locator(".body dt").all_text_contents()]
    assert heads[:5] == [
        "name string required",
        "count integer (int64) required",
        "children array of Tree",
        "labels map of string",
        "parent Named or null",
    ]
    text = words(call.text_content())
    assert "Deprecated" in text and "more than 0" in text and "beside the reference" in text
    assert "of the call" in text and "replaced" not in text
    assert json.loads(call.get_by_label("Content", exact=True).input_value()) == {"name": "n", "count": 1}
    call.locator("[name=kind]").select_option("y")
    call.locator("[name=name]").fill("a/b c")
    call.locator("[name=tags]").fill("one, t&o")
    call.locator("[name=dry]").select_option("true")
    curl = call.locator("pre", has_text="curl").text_content()
    assert "/things/y/a%2Fb%20c?tags=one&tags=t%26o&dry=true' \\\n" in curl
    open_rich("/redoc")


def test_a_document_that_cannot_be_read_is_told(browser, bridge):
    page = browser.new_page()
    page.route("**/openapi.json", lambda route: route.fulfill(status=503))
    page.goto(f"{bridge.url}/docs")
    page.get_by_role("alert").filter(has_text="openapi.json cannot be shown: it is answered with 503").wait_for()
    page.context.close()


# ---- what can be tried ----


def test_a_create_is_sent_and_its_answer_shown(open_page, http):
    page = open_page("/docs")
    call = open_call(page, "createEvent")
    body = '{"source":"page","event_type":"t","payload":{"n":1.50,"big":12345678901234567890,"s":"it\'s"}}'
    call.get_by_label("Content", exact=True).fill(body)
    status, shown = send(page, call)
    assert status.startswith("201 Created in ")
    created = json.loads(shown)
    assert shown.startswith('{\n  "event_id": "evt_')
    assert http.get(f"/api/v1/events/{created['event_id']}").json()["source"] == "page"
    headers = call.locator(".answer pre").first.text_content()
    assert f"location: /api/v1/events/{created['event_id']}" in headers and "x-request-id: " in headers
    # Values are shown as they came.
    read = open_call(page, "getEvent")
    read.locator("[name=event_id]").fill(created["event_id"])
    status, shown = send(page, read)
    assert status.startswith("200 OK") and '"n": 1.50,' in shown and "12345678901234567890" in shown


def test_an_answer_that_is_no_json_or_no_success(open_page):
    page = open_page("/docs")
    status, shown = send(page, open_call(page, "metrics"))
    assert status.startswith("200 OK") and "\ntriggers_core_up 1\n" in shown
    call = open_call(page, "createEvent")
    call.get_by_label("Content", exact=True).fill('{"source":')
    status, shown = send(page, call)
    assert status.startswith("400 Bad Request") and json.loads(shown)["code"] == "MALFORMED_JSON"
    # Chromium itself says that of every answer that is none of success.
    assert all("the server responded with a status of 400" in line for line in open_page.said)
    open_page.said.clear()


def test_a_bridge_that_has_gone_is_told(open_page):
    page = open_page("/docs")
    page.route("**/health", lambda route: route.abort())
    call = open_call(page, "health")
    call.get_by_role("button", name="Send").click()
    call.get_by_text("No answer: ").wait_for()
    open_page.said.clear()


@pytest.mark.parametrize("value", ["", "  ", ".", ".."])
def test_a_path_without_its_field_is_not_sent(open_page, value):
    page = open_page("/docs")
    call = open_call(page, "acknowledgeEvent")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    field = call.locator("[name=event_id]")
    field.fill(value)
    call.get_by_role("button", name="Send").click()
    assert field.evaluate("field => !field.validity.valid && field === document.activeElement")
    assert asked == []
    field.fill(MISSING_ID)
    assert send(page, call)[0].startswith("404 Not Found") and len(asked) == 1
    open_page.said.clear()


def test_query_and_headers_are_sent(open_page, http):
    event_id = create(http)
    page = open_page("/docs")
    call = open_call(page, "listInbox")
    call.locator("[name=limit]").fill("1")
    call.locator("[name=order]").select_option("desc")
    events = json.loads(send(page, call)[1])["events"]
    assert [event["event_id"] for event in events] == [event_id]
    call = open_call(page, "createEvent")
    call.locator("[name=Idempotency-Key]").fill('"from the page"')
    first, again = (json.loads(send(page, call)[1])["event_id"] for _ in range(2))
    assert first == again


def test_the_first_seconds_of_a_stream_are_shown(open_page, http):
    event_id = create(http)
    call = open_call(page := open_page("/docs"), "streamEvents")
    call.locator("[name=after]").fill("earliest")
    status, text = send(page, call)
    assert status.startswith("200 OK") and f'"event_id":"{event_id}"' in text


def test_the_log_is_read_with_several_names(open_page, http):
    create(http, source="from-docs-1"), create(http, source="from-docs-2")
    call = open_call(page := open_page("/docs"), "listEvents")
    call.locator("[name=source]").fill("from-docs-1, from-docs-2*")
    sources = [event["source"] for event in json.loads(send(page, call)[1])["events"]]
    assert sources == ["from-docs-1", "from-docs-2"]


def test_another_media_type(open_page):
    page = open_page("/docs")
    call = open_call(page, "createEvents")
    assert len(json.loads(send(page, call)[1])["results"]) == 1
    call.get_by_label("Content-Type").select_option("application/x-ndjson")
    call.get_by_label("Content", exact=True).fill("\n".join([json.dumps(CREATE)] * 3))
    assert len(json.loads(send(page, call)[1])["results"]) == 3


def test_the_curl_line_does_the_same(open_page, http):
    page = open_page("/docs", permissions=["clipboard-read", "clipboard-write"])
    call = open_call(page, "createEvent")
    event = {"source": "shell", "event_type": "t", "payload": {"s": "it's $HOME `x` \\n \"q\""}}
    call.get_by_label("Content", exact=True).fill(json.dumps(event))
    call.locator("[name=Idempotency-Key]").fill("it's me")
    call.get_by_role("button", name="Copy the curl line").click()
    call.get_by_text("Copied").wait_for()
    line = page.evaluate("navigator.clipboard.readText()")
    words = ["sh", "-c", line.replace("curl ", "curl -sS --noproxy '*' ", 1)]
    done = subprocess.run(words, capture_output=True, text=True)
    stored = http.get(f"/api/v1/events/{json.loads(done.stdout)['event_id']}").json()
    assert stored["payload"] == event["payload"]


def test_the_curl_line_is_selected_where_there_is_no_clipboard(open_page):
    page = open_page("/docs")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    call = open_call(page, "health")
    call.get_by_role("button", name="Copy the curl line").click()
    call.get_by_text("Selected: ").wait_for()
    assert page.evaluate("getSelection().toString()").startswith("curl 'http://")


# ---- links ----


@pytest.mark.parametrize("name", ["createEvent", "CreateEvent"])
def test_a_link_opens_its_call(open_page, name):
    page = open_page(f"/docs#{name}")
    assert page.locator("details.call[open]").evaluate_all("all => all.map((call) => call.id)") == ["createEvent"]
    page.get_by_role("button", name="Send").wait_for()
    page.evaluate("location.hash = 'listInbox'")
    call = page.locator("details#listInbox[open]")
    call.get_by_role("button", name="Send").wait_for()
    assert call.evaluate("call => call.contains(document.activeElement) && call.getBoundingClientRect().top < 10")
    assert call.get_by_role("link", name="Link to this call").get_attribute("href") == "#listInbox"


def test_pages_link_to_each_other(open_page):
    page = open_page("/redoc")
    page.get_by_role("link", name="Try createEvent", exact=True).click()
    page.wait_for_selector("details#createEvent[open]")
    page.get_by_role("link", name="the reference").click()
    page.wait_for_selector("main.document > nav")


def test_after_a_proxy_that_takes_a_prefix_off(open_page, bridge):
    page = open_page("/docs")
    page.route("**/a/docs/**", lambda route: route.continue_(url=route.request.url.replace("/a/docs/", "/")))
    page.goto(f"{bridge.url}/a/docs/docs")
    call = open_call(page, "createEvent")
    assert send(page, call)[0].startswith("201")
    assert f"{bridge.url}/a/docs/api/v1/events'" in call.locator("pre", has_text="curl").text_content()
    page.get_by_role("link", name="the reference").click()
    page.wait_for_selector("main.document > nav")


# ---- for everyone ----


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_nothing_and_nothing_is_cut_off(open_page, axe, path, size, scheme):
    page = open_page(path, size, scheme)
    if path == "/docs":
        # Calls that have, together, every part that calls have.
        for name in ("createEvents", "listInbox"):
            call = open_call(page, name)
            send(page, call)
        page.evaluate("document.querySelectorAll('details.call[open] details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    page.evaluate(axe)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    assert [(each["id"], [node["html"] for node in each["nodes"][:3]]) for each in found["violations"]] == []


@pytest.mark.parametrize("size", SIZES)
def test_what_is_pressed_is_large_enough(open_page, size):
    page = open_page("/docs#createEvent", size)
    boxes = page.locator("summary, button, input, select").evaluate_all(
        "all => all.map((each) => each.getBoundingClientRect().height).filter((height) => height > 0)"
    )
    assert min(boxes) >= 36


def test_the_keyboard_is_enough(open_page):
    page = open_page("/docs")

    def tab_to(script):
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({script!r})"):
                return
        raise AssertionError(f"the keyboard does not come to {script}")

    tab_to("#createEvent > summary")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.locator("#createEvent").get_by_role("button", name="Send").wait_for()
    tab_to("#createEvent button.send")
    page.keyboard.press("Enter")
    page.locator("#createEvent").get_by_text("201 Created").wait_for()
    tab_to("#createEvent .answer pre")
    tab_to("#createEvent .head button")
    tab_to("#createEvents > summary")


def test_a_screen_reader_is_told(open_page):
    page = open_page("/docs")
    call = open_call(page, "getEvent")
    field = call.get_by_role("textbox", name="event_id string required")
    described = field.get_attribute("aria-describedby")
    assert "The id that the create answered with" in page.locator(f"[id='{described}']").text_content()
    assert page.get_by_role("heading", level=3, name="GET /api/v1/events/{event_id} Read an event").count() == 1
    assert call.get_by_role("form", name="Try getEvent").count() == 1


# ---- and nothing else ----


def directives(http, path):
    policy = http.get(path).headers["content-security-policy"]
    return dict(part.strip().split(" ", 1) for part in policy.split(";"))


@pytest.mark.parametrize("path", PATHS)
def test_the_policy_lets_nothing_in_but_the_page(http, path):
    policy = directives(http, path)
    assert re.fullmatch("'sha256-[A-Za-z0-9+/]{43}='", policy.pop("script-src"))
    assert re.fullmatch("'sha256-[A-Za-z0-9+/]{43}='", policy.pop("style-src"))
    assert policy == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize("path", PATHS)
def test_a_script_that_got_in_does_not_run(open_page, path):
    page = open_page(path)
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'taken over'";
          document.body.append(script);
          document.body.insertAdjacentHTML("beforeend", "<p id=p style='color: red' onclick='1'>x</p>");
        }"""
    )
    assert page.title() != "taken over"
    assert page.evaluate("document.getElementById('p').getAttribute('style') && p.style.color") == ""
    assert len(open_page.said) >= 2 and all("Content Security Policy" in line for line in open_page.said)
    open_page.said.clear()


def test_what_is_no_page_has_no_policy(http):
    for path in ("/openapi.json", "/health"):
        assert "content-security-policy" not in http.get(path).headers
