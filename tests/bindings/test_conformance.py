"""Every binding executes every scenario on both stores: on SQLite with a core that is open to all, on PostgreSQL
with one that requires keys."""

import pytest

from bindings.harness import World, lacking, run_binding, scenario_names


@pytest.fixture(scope="module")
def world(binding, store_name, new_store_url, tmp_path_factory):
    keyed = store_name == "postgresql" and "keys" not in binding.lacks
    world = World(tmp_path_factory.mktemp(f"{binding.name}-{store_name}"), new_store_url, keyed)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture(scope="module")
def results(binding, world):
    return run_binding(binding, world)


@pytest.mark.parametrize("scenario", scenario_names())
def test_scenario(binding, results, scenario):
    if scenario in lacking(binding):
        pytest.skip(f"{binding.name} lacks what it needs")
    problem = results.of(scenario)
    assert not problem, problem


def test_reports_what_there_is_and_ends_well(binding, results):
    assert set(results) == set(scenario_names()) - lacking(binding)
    assert results.status == 0, results.end
