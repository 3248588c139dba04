"""A transaction that somebody keeps open in the database: who holds it is told, and what is listed stays
right. What it costs is measured in tests/bench."""

import httpx

from support.metrics import scrape
from support.network import wait_until
from support.replica import Replica
from support.rpc import events
from support.session import Session

NAME = "triggers_core_oldest_snapshot_seconds"
MILLION = 1_000_000  # transactions, after which a holder without a known time is named


def test_old_snapshot_is_seen(own_postgres, start_core, start_bridge):
    url = own_postgres.create_database()
    core = start_core(DATABASE_URL=url)
    bridge = start_bridge(core)
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        wait_until(lambda: scrape(http).has(NAME), "a first look")
        with Session(own_postgres, url) as holder, core.client() as rpc:
            holder.execute("begin isolation level repeatable read")
            holder.execute("select count(*) from triggers.events")
            wait_until(lambda: scrape(http).value(NAME) > 1, "the transaction being seen")
            ids = [rpc.create(payload=b'{"n":%d}' % n).event_id for n in range(600)]
            for event_id in ids[:599]:
                rpc.event("AckEvent", event_id=event_id)
            for _ in range(2):  # the second one starts where the first one ended
                page = rpc.event("ListInbox", order=events.SORT_ORDER_OLDEST_FIRST)
                assert [event.event_id for event in page.events] == ids[599:]
            holder.execute("commit")
        wait_until(lambda: scrape(http).value(NAME) < 1, "its end being seen")


def test_prepared_transaction_is_seen(own_postgres, start_core, start_bridge):
    own_postgres.psql("alter system set max_prepared_transactions = 1")
    own_postgres.stop()
    own_postgres.start()
    url = own_postgres.create_database()
    database = url.rsplit("/", 1)[1]
    own_postgres.psql("create table theirs (i int)", database)
    own_postgres.psql("begin; insert into theirs values (1); prepare transaction 'forgotten'", database)
    bridge = start_bridge(start_core(DATABASE_URL=url))
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as http:
        wait_until(lambda: scrape(http).has(NAME) and scrape(http).value(NAME) > 1, "it being seen")
        own_postgres.psql("rollback prepared 'forgotten'", database)
        wait_until(lambda: scrape(http).value(NAME) < 1, "its end being seen")


def test_slot_and_standby_are_named(own_postgres, start_core):
    """A slot that nobody reads, and when it is gone what somebody runs on a standby, which tells of it."""
    own_postgres.psql("select pg_create_physical_replication_slot('unused')")
    core = start_core(DATABASE_URL=own_postgres.create_database())
    holders = lambda: [line["holder"] for line in core.log if "keeps removed rows" in line["message"]]  # noqa: E731
    with Replica(own_postgres) as replica:

        def follow(slot):
            replica.psql(f"alter system set primary_slot_name = '{slot}'")
            replica.psql("select pg_reload_conf()")

        replica.psql("alter system set hot_standby_feedback = on")
        replica.psql("alter system set wal_receiver_status_interval = 1")
        follow("unused")
        slot = "select xmin is not null from pg_replication_slots"
        wait_until(lambda: own_postgres.psql(slot) == "t", "the slot holding rows")
        follow("")
        wait_until(
            lambda: own_postgres.psql("select active from pg_replication_slots") == "f", "an unused slot"
        )
        replica.follow(synchronously=False)
        with core.client() as rpc:
            rpc.create()
        # What the standby holds back is to begin after what the slot does.
        written = own_postgres.psql("select pg_current_wal_lsn()")
        wait_until(
            lambda: replica.psql(f"select pg_last_wal_replay_lsn() >= '{written}'") == "t", "the create there"
        )
        with Session(replica, replica.url()) as holder:
            holder.execute("begin isolation level repeatable read")
            holder.execute("select 1")
            own_postgres.psql(
                f"do $$ begin for i in 1..{MILLION + 1000} loop perform txid_current(); commit; end loop; end $$"
            )
            wait_until(holders, "the slot being named")
            assert holders() == ['replication slot "unused"']
            own_postgres.psql("select pg_drop_replication_slot('unused')")
            wait_until(lambda: len(holders()) > 1, "the standby being named")
            sender = own_postgres.psql("select pid from pg_stat_replication")
            assert holders()[1:] == [f'standby at session {sender} of role "tester" (walreceiver)']
