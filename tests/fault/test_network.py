"""The network between bridge and core, and between core and PostgreSQL, delays, swallows, cuts and
resets: deadlines hold within a tenth, no call hangs, connections heal, and nothing is lost or
doubled."""

import random
import time

import httpx
import pytest

from support.load import Load
from support.network import wait_until
from support.proxy import FaultProxy
from support.rpc import BareClient

CALL_TIMEOUT_MS = 2000
HEALS_WITHIN = 1.0  # seconds after a fault that both sides can see
NOTICED_WITHIN = 12.0  # seconds until a connection that died in silence is replaced
CALL_DEADLINE = 10.0  # seconds after which a caller gives up, and calls again


@pytest.fixture
def core(start_core, new_store_url):
    return start_core(DATABASE_URL=new_store_url(), LOG_LEVEL="warning")


@pytest.fixture
def proxy(core):
    """Between bridge and core."""
    with FaultProxy(int(core.url.split(":")[2].split("/")[0])) as proxy:
        yield proxy


@pytest.fixture
def bridge(core, proxy, start_bridge):
    settings = {
        "TRIGGERS_CORE": f"ws://127.0.0.1:{proxy.port}/rpc",
        "TRIGGERS_CALL_TIMEOUT": CALL_TIMEOUT_MS,
        "LOG_LEVEL": "warning",
    }
    bridge = start_bridge(core, **settings)
    return bridge.wait_answering("/ready")


@pytest.fixture
def http(bridge):
    with httpx.Client(base_url=bridge.url, trust_env=False, timeout=20.0) as client:
        yield client


def ask(http):
    """A request that the core must answer: its status and seconds."""
    start = time.monotonic()
    response = http.get("/api/v1/inbox?limit=1")
    if response.status_code in (429, 503):
        assert "retry-after" in response.headers
    return response.status_code, time.monotonic() - start


def wait_for_answer(http, deadline):
    """Waits for a 200; returns how long that took."""
    start = time.monotonic()
    wait_until(lambda: ask(http)[0] == 200, "answered again", deadline, 0.01)
    return time.monotonic() - start


def assert_deadline_holds(http):
    status, seconds = ask(http)
    assert status in (503, 504)
    limit = CALL_TIMEOUT_MS / 1000
    assert 0.9 * limit < seconds < 1.1 * limit, f"{status} after {seconds:.2f} s"


# One core and one bridge on SQLite are enough for what happens between the two.
between_bridge_and_core = pytest.mark.parametrize("store_name", ["sqlite"], indirect=True)


@between_bridge_and_core
def test_slow_network(proxy, http):
    proxy.delay = 0.2
    status, seconds = ask(http)
    assert status == 200 and seconds >= 0.4
    proxy.delay = 3.0
    assert_deadline_holds(http)
    proxy.delay = 0.0
    assert wait_for_answer(http, 10.0) < 3.0 + HEALS_WITHIN  # behind what is still under way


@between_bridge_and_core
def test_black_hole(proxy, http):
    proxy.freeze()
    assert_deadline_holds(http)
    for _ in range(3):  # by now the bridge may know that there is no connection
        status, seconds = ask(http)
        assert status in (503, 504) and seconds < 1.1 * CALL_TIMEOUT_MS / 1000
    proxy.thaw()
    assert wait_for_answer(http, 10.0) < HEALS_WITHIN


@between_bridge_and_core
def test_half_open_connection(proxy, http):
    """The core's machine vanished without a word and another has its address."""
    proxy.lose()
    assert_deadline_holds(http)
    assert wait_for_answer(http, 30.0) < NOTICED_WITHIN


@between_bridge_and_core
def test_connection_lost_during_the_handshake(proxy, http):
    """The one that takes the place of a lost connection dies in silence too, before it stands."""
    proxy.freeze()
    assert_deadline_holds(http)
    before = proxy.accepted
    wait_until(lambda: ask(http)[0] == 503 and proxy.accepted > before, "a connection half made")
    proxy.lose()
    proxy.thaw()
    assert wait_for_answer(http, 30.0) < NOTICED_WITHIN


@between_bridge_and_core
def test_refused_and_reset(proxy, http):
    proxy.reset()
    assert ask(http)[0] == 200  # connected again, the call sent again
    proxy.refuse()
    proxy.reset()
    status, seconds = ask(http)
    assert status == 503 and seconds < 1.1 * CALL_TIMEOUT_MS / 1000
    proxy.listen()
    assert wait_for_answer(http, 10.0) < 2 * HEALS_WITHIN


def cut_randomly(proxy, chance, share):
    """Resets a connection in the middle of that share of its pieces of data, some of it passed on."""

    def hook(connection, direction, data):
        if chance.random() >= share:
            return data
        sink = connection.server if direction == "up" else connection.client
        sink.sendall(data[: chance.randrange(len(data))])
        connection.reset()
        return None

    proxy.hook = hook


def test_cut_in_the_middle_of_messages(core, proxy, bridge, ledger, kept, pick):
    url = f"ws://127.0.0.1:{proxy.port}/rpc"
    with Load(ledger, url, 4, bridge.url, 3, size=3000, client=BareClient) as load:
        load.wait_for_creates(20)
        cut_randomly(proxy, random.Random(), 0.02)
        before = proxy.accepted
        load.wait_for_creates(pick(500, 20000), deadline=600)
        cuts = proxy.accepted - before
        proxy.hook = None
    assert cuts >= 5
    kept(core, f"{cuts} connections of the core cut within messages")


@pytest.fixture
def database_proxy(own_postgres):
    with FaultProxy(own_postgres.port) as proxy:
        yield proxy


def test_faults_between_core_and_postgres(
    own_postgres, database_proxy, start_core, ledger, kept, pick
):
    """Every fault in turn, under load."""
    url = own_postgres.create_database()
    url = url.replace(f":{own_postgres.port}/", f":{database_proxy.port}/")
    core = start_core(DATABASE_URL=url, LOG_LEVEL="warning")
    chance = random.Random()
    with core.client() as rpc, Load(ledger, core.url, 6) as load:
        for _ in range(pick(1, 20)):
            load.wait_for_creates(50)
            database_proxy.reset()
            load.wait_for_creates(20, deadline=2.0 + HEALS_WITHIN)
            cut_randomly(database_proxy, chance, 0.02)
            load.wait_for_creates(50)
            database_proxy.hook = None
            database_proxy.delay = 0.05
            load.wait_for_creates(10)
            database_proxy.delay = 0.0
            load.wait_for_creates(10)
            database_proxy.freeze()
            time.sleep(1.0)  # a short outage that TCP survives
            database_proxy.thaw()
            load.wait_for_creates(20, deadline=2.0)
        database_proxy.lose()
        load.wait_for_creates(20, deadline=NOTICED_WITHIN + CALL_DEADLINE)
        wait_until(rpc.serving, "all lanes serving", NOTICED_WITHIN)
    kept(core, "delays, resets, cuts, silence and half-open connections to PostgreSQL")
