"""The primary dies and its streaming replica is promoted: the core moves by itself, and with
synchronous replication nothing that was acknowledged is lost."""

import contextlib
import time

from support.load import Load
from support.network import wait_until
from support.replica import Replica

BACK_WITHIN = 2.0  # seconds from the promotion to the first write


def two_host_url(first, second):
    """The URL of a database on whichever of two servers takes writes."""
    url = first.create_database()
    hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
    return url.replace(f"127.0.0.1:{first.port}", hosts) + "?target_session_attrs=read-write"


def test_promoted_replica_takes_over(own_postgres, start_core, start_bridge, ledger, kept, pick):
    times = pick(1, 10)
    took = []
    with contextlib.ExitStack() as servers:
        primary = own_postgres
        replica = servers.enter_context(Replica(primary))
        replica.follow(synchronously=True)
        core = start_core(DATABASE_URL=two_host_url(primary, replica), LOG_LEVEL="warning")
        bridge = start_bridge(core, LOG_LEVEL="warning")
        with core.client() as rpc, Load(ledger, core.url, 6, bridge.url, 3) as load:
            for number in range(times):
                load.wait_for_creates(100)
                primary.kill()
                replica.promote()
                start = time.monotonic()
                load.wait_for_creates(1)
                wait_until(rpc.serving, "serving again", interval=0.005)
                took.append(time.monotonic() - start)
                if number + 1 < times:
                    dead, primary = primary, replica
                    replica = servers.enter_context(Replica(primary, dead.port))
                    replica.follow(synchronously=True)
        kept(core, f"{times} failovers, back after {max(took):.2f} s at most")
        core.stop()
    assert max(took) < BACK_WITHIN
