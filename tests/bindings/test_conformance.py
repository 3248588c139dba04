"""Every binding executes every scenario on both stores: on SQLite with a core that is open to all, on PostgreSQL
with one that requires keys."""

import pytest

from bindings.harness import World, run_binding, scenario_names


@pytest.fixture(scope="module")
def world(binding, store_name, new_store_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"{binding.name}-{store_name}")
    world = World(folder, new_store_url, keyed=store_name == "postgresql")
    try:
        yield world
    finally:
        world.close()


@pytest.fixture(scope="module")
def results(binding, world):
    return run_binding(binding, world)


@pytest.mark.parametrize("scenario", scenario_names())
def test_scenario(results, scenario):
    problem = results.of(scenario)
    assert not problem, problem


def test_reports_what_there_is_and_ends_well(results):
    assert set(results) == set(scenario_names())
    assert results.status == 0, results.end
