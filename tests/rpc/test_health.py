"""Health Check, after grpc.health.v1."""

import pytest

from support.protocol import health
from support.rpc import fails


@pytest.mark.parametrize("service", ["", "triggers.v1.EventService"])
def test_serving(rpc, store_name, service):
    answer = rpc.health(service)
    assert answer.status == health.HealthCheckResponse.SERVING
    assert answer.store == store_name
    assert answer.version


@pytest.mark.parametrize("service", ["nope", "triggers.v1", "triggers.health.v1.Health2", " "])
def test_unknown_service_is_not_found(rpc, service):
    fails("NOT_FOUND", rpc.health, service)
