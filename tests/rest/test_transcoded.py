"""Calls whose JSON is that of their messages."""

import re

import httpx
import pytest

from rest.checks import check_problem

SERVICE = "triggers.v1.EventService"


@pytest.mark.parametrize("query", ["", "?service=", f"?service={SERVICE}", f"?x=%zz&service=%74{SERVICE[1:]}"])
def test_health_is_the_message_of_the_core(http, query):
    answer = http.get(f"/api/v1/health{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    version = http.get("/").json()["version"]
    assert re.fullmatch(
        f'{{"status":"serving","version":"{version}","store":"(sqlite|postgresql)","auth":"(off|required)"}}', answer.text
    )


def test_the_last_of_repeated_parameters_counts(http):
    assert http.get(f"/api/v1/health?service=x&service={SERVICE}").status_code == 200
    check_problem(http.get(f"/api/v1/health?service={SERVICE}&service=x"), 404, "SERVICE_UNKNOWN")


def test_parameters_that_are_wrong_are_told(http):
    answer = http.get("/api/v1/health?service=%ff")
    check_problem(answer, 422, "PARAMETERS_INVALID", "service must be valid UTF-8", ["#/service"])


def test_a_query_that_was_cut_is_not_read(http):
    for query in ("service=" + "x" * 8100, "x" * 8100, "service&x=" + "y" * 8100):
        check_problem(http.get(f"/api/v1/health?{query}"), 414, "TARGET_TOO_LONG")


def test_stats_are_the_message_of_the_core(http):
    answer = http.get("/api/v1/stats")
    assert answer.status_code == 200
    assert list(answer.json()) == ["text"]
    assert answer.json()["text"].startswith("# HELP triggers_core_")
    assert http.head("/api/v1/stats").status_code == 200


def test_methods_are_those_of_the_route(http):
    answer = http.post("/api/v1/stats")
    check_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_what_the_old_service_did_not_have_has_no_errors_of_it(core, start_bridge):
    bridge = start_bridge(core, API_COMPATIBILITY="fastapi")
    answer = httpx.get(f"{bridge.url}/api/v1/health?service=%ff", trust_env=False, timeout=20.0)
    check_problem(answer, 422, "PARAMETERS_INVALID")


def test_calls_are_counted_by_their_route(http):
    http.get("/api/v1/health")
    line = 'requests_total{route="/api/v1/health",method="GET",status="200"}'
    assert line in http.get("/metrics").text
