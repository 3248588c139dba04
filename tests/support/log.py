"""What holds for the log lines of our programs."""

from datetime import datetime

REPEAT_SECONDS = 10.0
CLOCK_SECONDS = 0.1  # lines are limited by another clock than the one that they show


def assert_limited(lines, *fields):
    """Lines of one message that have the same `fields` are ten seconds apart."""
    last = {}
    for line in lines:
        kind = (line["message"], *(line[field] for field in fields))
        now = datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
        before = last.get(kind)
        assert before is None or now - before > REPEAT_SECONDS - CLOCK_SECONDS, (kind, lines)
        last[kind] = now
