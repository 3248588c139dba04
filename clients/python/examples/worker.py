"""Works on the inbox until Ctrl-C, four events at once."""

from contextlib import suppress

from triggers_client import Client, Delivery


def handle(delivery: Delivery) -> None:
    event = delivery.event  # acknowledged when this returns; it comes again when this raises
    line = f"{event.event_id} {event.event_type} {event.payload.decode()}\n"
    print(line, end="", flush=True)  # whole, as other threads print too


def main() -> None:
    with (
        Client(name="example-worker/1") as client,
        client.worker("inbox", handle, concurrency=4) as worker,
        suppress(KeyboardInterrupt),
    ):
        worker.wait()  # leaving then finishes what runs


if __name__ == "__main__":
    main()
