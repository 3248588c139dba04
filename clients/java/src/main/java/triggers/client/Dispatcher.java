package triggers.client;

import java.net.URI;
import java.net.http.HttpClient;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import triggers.rpc.v1.Code;

/** Spreads calls over the connections that stand; holds them while there is none. */
final class Dispatcher {
    private final ScheduledThreadPoolExecutor timer;
    private final Executor callbacks;
    private final List<Dialer> dialers = new ArrayList<>();
    private final Set<Call<?>> unfinished = ConcurrentHashMap.newKeySet();

    // Guarded by this.
    private final List<Connection> connections = new ArrayList<>();
    private final Set<Call<?>> waiting = new LinkedHashSet<>();
    private int turn;
    private int lastId;
    private boolean closed;

    private volatile String problem = "no connection yet";

    Dispatcher(List<URI> addresses, HttpClient http, Executor callbacks) {
        this.callbacks = callbacks;
        timer = new ScheduledThreadPoolExecutor(1, Dispatcher::timerThread);
        timer.setRemoveOnCancelPolicy(true);
        for (URI address : addresses) {
            dialers.add(new Dialer(address, http, this));
        }
        dialers.forEach(Dialer::dial);
    }

    private static Thread timerThread(Runnable work) {
        Thread thread = new Thread(work, "triggers-timer");
        thread.setDaemon(true);
        return thread;
    }

    /** Where a call goes next. */
    record Route(Connection connection, int id) {}

    /** A connection and an id for the call; null, and the call is kept, while there is none. */
    synchronized Route route(Call<?> call) {
        if (connections.isEmpty()) {
            if (!call.isSettled()) {
                waiting.add(call);
            }
            return null;
        }
        turn = (turn + 1) % connections.size();
        // The top bit marks the last of SP's hops.
        return new Route(connections.get(turn), ++lastId | Integer.MIN_VALUE);
    }

    void connected(Connection connection) {
        List<Call<?>> calls;
        boolean late;
        synchronized (this) {
            late = closed;
            calls = List.copyOf(waiting);
            if (!late) {
                connections.add(connection);
                waiting.clear();
            }
        }
        if (late) {
            connection.lost(new IllegalStateException("the client was closed"));
            return;
        }
        calls.forEach(Call::send);
    }

    synchronized void disconnected(Connection connection, String why) {
        connections.remove(connection);
        problem = why;
    }

    /** Why there was last no connection, for people. */
    String problem() {
        return problem;
    }

    /** Starts a call; a closed client's fail. */
    void start(Call<?> call) {
        unfinished.add(call);
        if (isClosed()) {
            call.fail(closedError());
        } else {
            call.send();
        }
    }

    void finished(Call<?> call) {
        unfinished.remove(call);
        synchronized (this) {
            waiting.remove(call);
        }
    }

    /** Runs it after the time. On a closed client nobody waits for it. */
    Future<?> later(Runnable work, long nanos) {
        try {
            return timer.schedule(work, nanos, TimeUnit.NANOSECONDS);
        } catch (RejectedExecutionException e) {
            return null;
        }
    }

    /** Runs what users hang on futures, away from the threads that read. */
    void callback(Runnable work) {
        try {
            callbacks.execute(work);
        } catch (RejectedExecutionException e) {
            work.run(); // an executor that was shut down; the future must end all the same
        }
    }

    synchronized boolean isClosed() {
        return closed;
    }

    void close() {
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
        }
        unfinished.forEach(call -> call.fail(closedError()));
        timer.shutdownNow();
        dialers.forEach(Dialer::close);
    }

    private static TriggersException closedError() {
        return new TriggersException(Code.CANCELLED, "CLIENT_CLOSED", "the client was closed");
    }
}
