package triggers.client;

import java.util.Collections;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import triggers.v1.Event;
import triggers.v1.ListEventsRequest;
import triggers.v1.ListEventsResponse;

/**
 * Walks through the log, and waits at its end for more: each event once, in order. One thread at a
 * time walks; any may stop it. A call that fails throws its {@link TriggersException}; asked again,
 * it goes on where it was. An interrupt ends the call that waits.
 */
public final class Follower implements Iterable<Event>, Iterator<Event> {
    private final Function<ListEventsRequest, CompletableFuture<ListEventsResponse>> read;
    private ListEventsRequest next; // its position: everything up to there was read
    private Iterator<Event> events = Collections.emptyIterator(); // not given yet
    private volatile long after;
    private volatile boolean stopped;
    private CompletableFuture<ListEventsResponse> call; // under the monitor

    Follower(
            ListEventsRequest first,
            Function<ListEventsRequest, CompletableFuture<ListEventsResponse>> read) {
        this.next = first;
        this.after = first.getAfterSequence();
        this.read = read;
    }

    /**
     * The position after the event that was given last: save it, and follow from there the next
     * time.
     */
    public long nextAfter() {
        return after;
    }

    /** Ends the walk, also while it waits. */
    public synchronized void stop() {
        stopped = true;
        if (call != null) {
            call.cancel(false);
        }
    }

    /** This. */
    @Override
    public Iterator<Event> iterator() {
        return this;
    }

    /** Waits until there is an event, or the follower is stopped. */
    @Override
    public boolean hasNext() {
        while (!stopped && !events.hasNext()) {
            fetch();
        }
        return !stopped;
    }

    @Override
    public Event next() {
        if (!hasNext()) {
            throw new NoSuchElementException("the follower is stopped");
        }
        Event event = events.next();
        after = events.hasNext() ? event.getSequence() : next.getAfterSequence();
        return event;
    }

    private void fetch() {
        CompletableFuture<ListEventsResponse> started = start();
        ListEventsResponse page;
        try {
            page = TriggersClient.await(started);
        } catch (CancellationException e) {
            return; // by stop
        }
        events = page.getEventsList().iterator();
        next = next.toBuilder().setAfterSequence(page.getNextAfter()).build();
        if (!events.hasNext()) {
            after = page.getNextAfter();
        }
    }

    private synchronized CompletableFuture<ListEventsResponse> start() {
        call = read.apply(next);
        if (stopped) {
            call.cancel(false);
        }
        return call;
    }
}
