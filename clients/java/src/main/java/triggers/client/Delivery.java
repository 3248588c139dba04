package triggers.client;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import triggers.v1.Event;

/** An event that was given to a worker, for a time. */
public final class Delivery {
    private final Event event;
    private final int attempt;
    private final CompletableFuture<Void> lost = new CompletableFuture<>();
    private volatile boolean isLost;
    private Thread handling; // of a blocking handler, under the monitor

    Delivery(Event event, int attempt) {
        this.event = event;
        this.attempt = attempt;
    }

    /** What happened. */
    public Event event() {
        return event;
    }

    /** How often the event was given out, this time included. */
    public int attempt() {
        return attempt;
    }

    /**
     * Whether the lease is lost: somebody else may have the event, and what becomes of it here will
     * not count.
     */
    public boolean isLost() {
        return isLost;
    }

    /** Completes when the lease is lost, and else never. */
    public CompletionStage<Void> lost() {
        return lost.minimalCompletionStage();
    }

    /** Interrupts a handler that blocks. */
    synchronized void lose() {
        isLost = true;
        if (handling != null) {
            handling.interrupt();
        }
    }

    void completeLost() {
        lost.complete(null);
    }

    /** Calls the handler on this thread, which is not interrupted any more afterwards. */
    void handle(Worker.Handler handler) throws Exception {
        occupy(Thread.currentThread());
        try {
            handler.handle(this);
        } finally {
            occupy(null);
            if (isLost) {
                Thread.interrupted();
            }
        }
    }

    private synchronized void occupy(Thread thread) {
        handling = thread;
        if (thread != null && isLost) {
            thread.interrupt();
        }
    }
}
