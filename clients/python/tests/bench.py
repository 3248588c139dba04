"""What tests/bench/run measures: bench.py URL IN_FLIGHT SECONDS PAYLOAD [--aio]; see
clients/conformance."""

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from triggers_client import AsyncClient, Client

EVENT = ("billing", "invoice.paid")


def create_until(client: Client, payload: str, begin: float, end: float) -> list[float]:
    """Creates one event after another until `end`: the latencies of calls begun after `begin`."""
    latencies = []
    started = time.monotonic()
    while started < end:
        client.create(*EVENT, payload)
        done = time.monotonic()
        if started >= begin and done <= end:
            latencies.append(done - started)
        started = done
    return latencies


async def create_until_aio(
    client: AsyncClient, payload: str, begin: float, end: float
) -> list[float]:
    latencies = []
    started = time.monotonic()
    while started < end:
        await client.create(*EVENT, payload)
        done = time.monotonic()
        if started >= begin and done <= end:
            latencies.append(done - started)
        started = done
    return latencies


def bench(url: str, in_flight: int, seconds: int, payload: str) -> list[list[float]]:
    with Client(url) as client, ThreadPoolExecutor(in_flight) as threads:
        client.health()
        begin = time.monotonic() + 1
        calls = (client, payload, begin, begin + seconds)
        lanes = [threads.submit(create_until, *calls) for _ in range(in_flight)]
        return [lane.result() for lane in lanes]


async def bench_aio(url: str, in_flight: int, seconds: int, payload: str) -> list[list[float]]:
    async with AsyncClient(url) as client:
        await client.health()
        begin = time.monotonic() + 1
        calls = (client, payload, begin, begin + seconds)
        return await asyncio.gather(*(create_until_aio(*calls) for _ in range(in_flight)))


def main() -> None:
    url, in_flight, seconds, payload, *aio = sys.argv[1:]
    if aio:
        lanes = asyncio.run(bench_aio(url, int(in_flight), int(seconds), payload))
    else:
        lanes = bench(url, int(in_flight), int(seconds), payload)
    for latency in (each for lane in lanes for each in lane):
        print(round(latency * 1e6))


if __name__ == "__main__":
    main()
