package triggers.client;

import java.util.concurrent.ThreadLocalRandom;

/** Waits that double up to a maximum, each drawn from the upper half of its length. */
final class Backoff {
    private final long first;
    private final long most;
    private long next;

    Backoff(long firstNanos, long mostNanos) {
        first = firstNanos;
        most = mostNanos;
        next = firstNanos;
    }

    /** The next wait in nanoseconds. */
    long next() {
        long wait = next;
        next = Math.min(2 * next, most);
        return ThreadLocalRandom.current().nextLong(wait / 2, wait + 1);
    }

    void reset() {
        next = first;
    }
}
