"""Creates three events and prints their ids."""

from triggers_client import Client, TriggersError


def main() -> None:
    with Client(name="example-producer/1") as client:  # TRIGGERS_CORE, or this machine's core
        for number in range(3):
            try:
                # The client makes the event's id, so its retries are stored once.
                created = client.create("shop", "order.placed", {"order": number, "total": 9.5})
            except TriggersError as error:
                raise SystemExit(f"not stored: {error}") from error
            print(created.event_id)


if __name__ == "__main__":
    main()
