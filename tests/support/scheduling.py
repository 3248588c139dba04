"""Which tests one worker of pytest-xdist runs in a row."""

import re

from xdist.scheduler import LoadScopeScheduling

STORE = re.compile(r"(?<=[\[-])(sqlite|postgresql)(?=[]-])")


class ByModuleAndStore(LoadScopeScheduling):
    """One worker runs all tests of a module on one store, which share its programs."""

    def _split_scope(self, nodeid):
        module, _, test = nodeid.partition("::")
        found = STORE.search(test)
        return f"{module} {found[0]}" if found else module
