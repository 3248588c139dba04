"""Which tests one worker of pytest-xdist runs in a row."""

import re

from xdist.scheduler import LoadScopeScheduling

# What takes a minute or more in one worker begins first, the longest of all at the very first.
LONGEST_FIRST = [
    "startup/test_quickstart.py",
    "bindings/",
    "description/",
    "deploy/test_commands.py",
    "rest/test_slow_peers.py",
    "move/test_update.py",
    "fault/",
    "startup/test_postgres.py",
    "cli/test_consume.py",
    "rest/test_stream.py",
]
STORE = re.compile(r"(?<=[\[-])(sqlite|postgresql)(?=[]-])")


def rank(item):
    """Where a test's module is in that order."""
    places = [at for at, name in enumerate(LONGEST_FIRST) if f"/{name}" in f"/{item.nodeid}"]
    return places[0] if places else len(LONGEST_FIRST)


class ByModuleAndStore(LoadScopeScheduling):
    """One worker runs all tests of a module on one store, which share its programs."""

    def _split_scope(self, nodeid):
        module, _, test = nodeid.partition("::")
        found = STORE.search(test)
        return f"{module} {found[0]}" if found else module

    def remove_node(self, node):
        """Of a worker that died, only what it has not finished is given to others. pytest-xdist 3.8 gives
        away finished modules, too, and waits for ever for their tests once nothing else is left."""
        workload = self.assigned_work[node]
        for scope in [scope for scope, unit in workload.items() if all(unit.values())]:
            del workload[scope]
        return super().remove_node(node)
