"""The primary dies and its streaming replica is promoted: the core moves by itself, and with
synchronous replication nothing that was acknowledged is lost; without it that is told before."""

import contextlib
import subprocess
import time

import httpx

from support.load import Load
from support.metrics import scrape
from support.network import wait_until
from support.replica import Replica, two_host_url

BACK_WITHIN = 2.0  # seconds from the promotion to the first write


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


def test_standby_that_is_not_synchronous_is_told(own_postgres, start_core, start_bridge):
    """Once in the log, and as a metric; also to a role that may not see what standbys do."""
    url = own_postgres.create_database()
    own_postgres.psql("create role modest login password 'pw'")
    own_postgres.psql(f"grant create on database {url.rsplit('/', 1)[1]} to modest")
    core = start_core(DATABASE_URL=own_postgres.url(url.rsplit("/", 1)[1], "modest", "pw"))
    bridge = start_bridge(core)
    warnings = lambda: [line for line in core.output if "no standby of the database" in line]  # noqa: E731
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        standbys = lambda: scrape(http).value("triggers_core_asynchronous_standbys")  # noqa: E731
        wait_until(lambda: scrape(http).has("triggers_core_asynchronous_standbys"), "a first look")
        assert standbys() == 0 and not warnings()
        with Replica(own_postgres) as replica:
            replica.follow(synchronously=False)
            wait_until(lambda: standbys() == 1, "the standby being seen")
            assert len(warnings()) == 1
            replica.follow(synchronously=True)
            wait_until(lambda: standbys() == 0, "the standby being synchronous")
            assert len(warnings()) == 1
            own_postgres.psql("alter system reset synchronous_standby_names")
            own_postgres.psql("select pg_reload_conf()")


def test_reader_of_changes_is_no_standby(own_postgres, start_core, start_bridge):
    """A logical slot's reader follows the log as a standby does, and nobody fails over to it."""
    url = own_postgres.create_database()
    own_postgres.psql("alter system set wal_level = logical")
    own_postgres.stop()
    own_postgres.start()
    name = url.rsplit("/", 1)[1]
    reader = [own_postgres.binaries / "pg_recvlogical", "-d", url, "-S", "changes", "-f", "/dev/null"]
    subprocess.run([*reader, "--create-slot", "-P", "pgoutput"], check=True)
    options = ["-o", "proto_version=1", "-o", "publication_names=p"]
    own_postgres.psql("create publication p", name)
    with subprocess.Popen([*reader, "--start", *options]) as process:
        following = "select count(*) from pg_stat_replication where state = 'streaming'"
        wait_until(lambda: own_postgres.psql(following) == "1", "a reader of changes")
        bridge = start_bridge(start_core(DATABASE_URL=url))
        with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
            wait_until(lambda: scrape(http).has("triggers_core_asynchronous_standbys"), "a look")
            assert scrape(http).value("triggers_core_asynchronous_standbys") == 0
        process.terminate()
