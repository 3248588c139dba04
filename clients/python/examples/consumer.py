"""Takes every pending event, oldest first, and acknowledges it."""

import asyncio

from triggers_client import AsyncClient, Order


async def main() -> None:
    async with AsyncClient(name="example-consumer/1") as client:
        async for event in client.inbox(order=Order.OLDEST_FIRST):
            print(event.event_id, event.event_type, event.payload.decode())
            await client.ack(event.event_id)  # when the work is done: it leaves the inbox


if __name__ == "__main__":
    asyncio.run(main())
