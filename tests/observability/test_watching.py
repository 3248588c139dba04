"""What Prometheus and Grafana are given: a real answer of /metrics, the rules, the dashboard, and the
table of metrics in the operator's guide, each of which must fit the answer."""

import json
import re

import pytest

from rest.checks import CREATE, MISSING_ID, create
from support.metrics import Metrics, scrape
from support.network import wait_until
from support.program import ROOT

FOLDER = ROOT / "deploy" / "observability"
RULES = FOLDER / "alerts.yaml"
RULE_TESTS = FOLDER / "alerts_test.yaml"
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
NAME = re.compile(r"\btriggers_(?:core|bridge)_[a-z_]+")


@pytest.fixture(scope="module")
def answer(http):
    """The text of /metrics after one of everything."""
    event = create(http)
    http.post("/api/v1/events/batch", json=[CREATE, {}])
    http.get(f"/api/v1/events/{event}")
    http.get(f"/api/v1/events/{MISSING_ID}")
    http.get("/api/v1/inbox")
    http.delete(f"/api/v1/events/{event}")
    http.get("/nope")
    http.put("/api/v1/subscriptions/billing", json={"start": "earliest"})
    [delivery] = http.post("/api/v1/subscriptions/billing/pull", json={}).json()["deliveries"][:1]
    http.post("/api/v1/subscriptions/billing/ack", json={"ack_ids": [delivery["ack_id"]]})
    wait_until(lambda: scrape(http).has("triggers_core_pending_events"), "a backlog")
    wait_until(lambda: scrape(http).has("triggers_core_subscription_backlog_events"), "a look at it")
    return http.get("/metrics").text


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions():
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_promtool_accepts_the_metrics(promtool, answer):
    assert promtool("check", "metrics", input=answer) == ""


def test_promtool_accepts_the_rules(promtool):
    assert "13 rules found" in promtool("check", "rules", RULES)


def test_every_alert_fires_and_stays_quiet_in_a_test(promtool):
    promtool("test", "rules", RULE_TESTS)
    tests = RULE_TESTS.read_text()
    for alert in re.findall(r"- alert: (\w+)", RULES.read_text()):
        assert f"alertname: {alert}, exp_alerts: []" in tests
        assert re.search(rf"alertname: {alert}\n *exp_alerts:\n", tests)


def test_promtool_accepts_the_dashboards_expressions(promtool, tmp_path):
    lines = ["groups:", "- name: dashboard", "  rules:"]
    for number, expression in enumerate(expressions()):
        plain = expression.replace("$__rate_interval", "5m")
        lines += [f"  - record: panel:{number}", f"    expr: {json.dumps(plain)}"]
    (tmp_path / "rules.yaml").write_text("\n".join(lines) + "\n")
    promtool("check", "rules", "--lint=none", tmp_path / "rules.yaml")


def test_the_dashboard_can_be_imported():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids) and DASHBOARD["id"] is None
    inputs = {entry["name"]: entry["type"] for entry in DASHBOARD["__inputs"]}
    assert inputs == {"DS_PROMETHEUS": "datasource"}
    places = [tuple(panel["gridPos"][key] for key in "xywh") for panel in DASHBOARD["panels"]]
    cells = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24
    for panel in panels():
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${DS_PROMETHEUS}"}
        assert panel["title"] and len({target["refId"] for target in panel["targets"]}) >= 1


def test_what_dashboard_and_rules_ask_for_exists(answer):
    metrics = Metrics(answer)
    asked = set(NAME.findall(" ".join(expressions())))
    asked |= set(NAME.findall(RULES.read_text())) | set(NAME.findall(RULE_TESTS.read_text()))
    assert len(asked) > 20
    assert not [name for name in sorted(asked) if not metrics.has(name)]


def test_labels_that_are_asked_for_exist(answer):
    metrics = Metrics(answer)
    labels = {name for _, with_labels, _ in metrics.samples for name in with_labels}
    text = " ".join(expressions()) + RULES.read_text()
    asked = {name for part in re.findall(r"by \(([a-z_, ]+)\)", text) for name in part.split(", ")}
    asked |= set(re.findall(r'[{,]([a-z_]+)(?:=~|!=|=)"', text))
    assert asked - {"instance", "job"} <= labels  # which Prometheus adds


def test_the_guide_tells_of_every_metric(answer):
    section = (ROOT / "deploy" / "README.md").read_text().split("## Watching it")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_]+)` \| (.*?) \|", section, re.MULTILINE)
    metrics = Metrics(answer)
    assert {name for name, _ in rows} == set(metrics.types)
    for name, labels in rows:
        found = {
            label
            for sample, with_labels, _ in metrics.samples
            if metrics.family(sample) == name
            for label in with_labels
        }
        assert set(re.findall(r"`([a-z]+)`", labels)) == found - {"core", "le"}, name
