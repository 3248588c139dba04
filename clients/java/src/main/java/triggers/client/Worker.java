package triggers.client;

import static triggers.client.Settler.SUBSCRIPTIONS;

import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Function;
import triggers.rpc.v1.Code;
import triggers.v1.GetSubscriptionRequest;
import triggers.v1.GetSubscriptionResponse;
import triggers.v1.PullRequest;
import triggers.v1.PullResponse;

/**
 * Hands the events of a subscription to a handler, so many at once as it was told. It pulls no more
 * than it can begin, and extends each lease while the handler runs. An event is acknowledged when
 * its handler returns. When that throws, the event comes again after a pause and is a dead letter
 * after the last attempt, with the message, cut at 1000 characters, as the reason. An event may be
 * handled more than once.
 *
 * <p>When a lease is lost the thread of a blocking handler is interrupted, {@link Delivery#isLost}
 * is true, and nothing is settled.
 *
 * <p>{@link TriggersClient#worker} makes one. It works until it is stopped, or a call fails for
 * good; any thread may stop it.
 */
public final class Worker implements AutoCloseable {
    private static final Duration SAME_PULL =
            Duration.ofMinutes(1); // in which a pull that is sent again gets the same events
    private static final int WAIT_MS = 20_000; // of a pull; a core waits no longer
    private static final Duration AT_ONCE =
            Duration.ofMillis(500); // an empty answer that came within was not waited for
    private static final Duration REST = Duration.ofSeconds(1);
    private static final int MAX_REASON = 1000; // characters
    private static final int MAX_CONCURRENCY = 1000;
    private static final Duration MAX_LEASE = Duration.ofHours(12);

    private final Caller caller;
    private final String subscription;
    private final Consumer<TriggersException> onError;
    private final Function<Delivery, CompletionStage<?>> handler;
    private final Runnable atEnd;
    private final CompletableFuture<Void> done = new CompletableFuture<>();

    private Duration lease; // null: not known yet
    private Settler settler; // once the lease is known

    // Under the monitor.
    private int free;
    private int unsettled;
    private boolean stopping;

    /** Deals with a delivery on a thread that is its own for as long. */
    @FunctionalInterface
    public interface Handler {
        /** Returns when it is done with the event; when it throws, the event comes again. */
        void handle(Delivery delivery) throws Exception;
    }

    /** How a worker is to be. Every setting has a default. */
    public static final class Builder {
        private final Caller caller;
        private final String subscription;
        private int concurrency = 1;
        private Duration lease;
        private Consumer<TriggersException> onError = error -> {};
        private Executor executor;

        Builder(Caller caller, String subscription) {
            this.caller = caller;
            this.subscription = subscription;
        }

        /** How many handlers run at once, 1 to 1000; 1 unless set. */
        public Builder concurrency(int handlers) {
            if (handlers < 1 || handlers > MAX_CONCURRENCY) {
                throw new IllegalArgumentException(
                        "the concurrency is " + handlers + "; accepted is 1 to " + MAX_CONCURRENCY);
            }
            concurrency = handlers;
            return this;
        }

        /**
         * After how long an event comes again when this program has vanished, in whole seconds up
         * to 12 hours; as the subscription says unless set.
         */
        public Builder lease(Duration lease) {
            if (lease.compareTo(Duration.ofSeconds(1)) < 0
                    || lease.compareTo(MAX_LEASE) > 0
                    || lease.getNano() != 0) {
                throw new IllegalArgumentException(
                        "the lease is " + lease + "; accepted are whole seconds, 1 to 43200");
            }
            this.lease = lease;
            return this;
        }

        /**
         * Is told of calls that failed and are made again, and of outcomes that could not be
         * stored; on the client's executor.
         */
        public Builder onError(Consumer<TriggersException> listener) {
            onError = Objects.requireNonNull(listener, "listener");
            return this;
        }

        /** Runs blocking handlers; threads of the worker's own unless set. */
        public Builder executor(Executor executor) {
            this.executor = Objects.requireNonNull(executor, "executor");
            return this;
        }

        /** Begins to work with a handler that blocks. */
        public Worker start(Handler handler) {
            Objects.requireNonNull(handler, "handler");
            if (executor != null) {
                return start(delivery -> handle(executor, handler, delivery), () -> {});
            }
            ExecutorService own = Executors.newCachedThreadPool(Worker::handlerThread);
            return start(delivery -> handle(own, handler, delivery), own::shutdown);
        }

        /**
         * Begins to work with a handler that gives a future, such as that of another client's call:
         * it is called on the thread that pulls, and must not block.
         */
        public Worker startAsync(Function<Delivery, CompletionStage<?>> handler) {
            return start(Objects.requireNonNull(handler, "handler"), () -> {});
        }

        private Worker start(Function<Delivery, CompletionStage<?>> handler, Runnable atEnd) {
            Worker worker = new Worker(this, handler, atEnd);
            Thread thread = new Thread(worker::run, "triggers-worker");
            thread.setDaemon(true);
            thread.start();
            return worker;
        }
    }

    private Worker(
            Builder builder, Function<Delivery, CompletionStage<?>> handler, Runnable atEnd) {
        caller = builder.caller;
        subscription = builder.subscription;
        onError = builder.onError;
        lease = builder.lease;
        free = builder.concurrency;
        this.handler = handler;
        this.atEnd = atEnd;
    }

    /** Begins nothing more, and releases what a pull may still get; does not wait. */
    public void stop() {
        change(() -> stopping = true);
    }

    /**
     * Stops, and waits until what runs is finished and settled. An interrupt ends the wait, not the
     * handlers, and the thread stays interrupted. It does not throw what {@link #join} does.
     */
    @Override
    public void close() {
        stop();
        try {
            join();
        } catch (TriggersException e) {
            // Why it ended is for those who join; an interrupt stays with the thread.
        }
    }

    /**
     * Waits until it has stopped and everything is settled.
     *
     * @throws TriggersException the error of a call that failed for good, as when there is no such
     *     subscription; CANCELLED when the thread is interrupted, which does not stop the worker
     */
    public void join() {
        TriggersClient.await(done.copy());
    }

    /** Completes as {@link #join} returns, or fails with what it throws. */
    public CompletableFuture<Void> done() {
        return done.copy();
    }

    private static Thread handlerThread(Runnable work) {
        Thread thread = new Thread(work, "triggers-handler");
        thread.setDaemon(true);
        return thread;
    }

    private static CompletionStage<?> handle(
            Executor executor, Handler handler, Delivery delivery) {
        CompletableFuture<Void> handled = new CompletableFuture<>();
        executor.execute(
                () -> {
                    try {
                        delivery.handle(handler);
                        handled.complete(null);
                    } catch (Throwable e) {
                        handled.completeExceptionally(e);
                    }
                });
        return handled;
    }

    private void run() {
        TriggersException failure = null;
        try {
            pullAll();
        } catch (TriggersException e) {
            failure = e;
        }
        waitUntil(() -> unsettled == 0);
        atEnd.run();
        if (failure == null) {
            done.complete(null);
        } else {
            done.completeExceptionally(failure);
        }
    }

    /** Conditions of the monitor. */
    private synchronized void waitUntil(BooleanSupplier condition) {
        try {
            while (!condition.getAsBoolean()) {
                wait();
            }
        } catch (InterruptedException e) {
            throw new AssertionError(e); // nobody has this thread
        }
    }

    private synchronized void change(Runnable change) {
        change.run();
        notifyAll();
    }

    private synchronized int places() {
        return free;
    }

    private synchronized boolean isStopping() {
        return stopping;
    }

    private void tell(TriggersException error) {
        if (error != null) {
            caller.callback(() -> onError.accept(error));
        }
    }

    // ---- pull ----

    private void pullAll() {
        if (lease == null) {
            lease = readLease();
        }
        settler = new Settler(caller, subscription, lease);
        waitUntil(() -> free > 0 || stopping);
        while (!isStopping()) {
            pull(places());
            waitUntil(() -> free > 0 || stopping);
        }
    }

    /** The subscription's lease; any, once it is stopped. */
    private Duration readLease() {
        GetSubscriptionRequest request =
                GetSubscriptionRequest.newBuilder().setName(subscription).build();
        Backoff backoff = newBackoff();
        while (!isStopping()) {
            CompletableFuture<GetSubscriptionResponse> call =
                    caller.start(
                            SUBSCRIPTIONS + "GetSubscription",
                            request,
                            GetSubscriptionResponse.parser(),
                            caller.timeout());
            try {
                if (isAnswered(call)) {
                    int seconds = resultOf(call).getSubscription().getLeaseSeconds();
                    need(seconds > 0, "lacks the subscription's lease");
                    return Duration.ofSeconds(seconds);
                }
            } catch (TriggersException e) {
                pause(e, backoff);
            }
        }
        return MAX_LEASE;
    }

    /** Begins with what there is for so many handlers. Once it is stopped, releases that. */
    private void pull(int places) {
        PullRequest.Builder request =
                PullRequest.newBuilder()
                        .setName(subscription)
                        .setMaxEvents(places)
                        .setLeaseSeconds((int) lease.toSeconds())
                        .setWaitMs(WAIT_MS);
        Backoff backoff = newBackoff();
        long since = 0;
        do {
            long sent = System.nanoTime();
            boolean again = !request.getPullId().isEmpty() && sent - since < SAME_PULL.toNanos();
            if (!again) {
                since = sent;
                request.setPullId(EventId.make());
            }
            CompletableFuture<PullResponse> call =
                    caller.start(
                            SUBSCRIPTIONS + "Pull",
                            request.build(),
                            PullResponse.parser(),
                            caller.timeout().plusMillis(WAIT_MS));
            try {
                if (isAnswered(call)) {
                    begin(resultOf(call).getDeliveriesList(), again, sent);
                    return;
                }
                String pullId = request.getPullId();
                call.thenAccept(late -> releaseLate(late, pullId));
            } catch (TriggersException e) {
                pause(e, backoff);
            }
        } while (!isStopping());
        release(request.getPullId());
    }

    /** False when it is stopped, whether there is an answer or not. */
    private boolean isAnswered(CompletableFuture<?> call) {
        call.whenComplete((response, error) -> change(() -> {}));
        waitUntil(() -> call.isDone() || stopping);
        return !isStopping();
    }

    private static <R> R resultOf(CompletableFuture<R> call) {
        try {
            return call.join();
        } catch (CompletionException e) {
            throw (TriggersException) e.getCause();
        }
    }

    /** Waits before a call is made again, but not after a stop; throws what that does not mend. */
    private void pause(TriggersException error, Backoff backoff) {
        if (!error.isRetryable()) {
            throw error;
        }
        tell(error);
        rest(Math.max(backoff.next(), error.retryDelay().toNanos()));
    }

    private synchronized void rest(long nanos) {
        long end = System.nanoTime() + nanos;
        try {
            for (long left = nanos; left > 0 && !stopping; left = end - System.nanoTime()) {
                TimeUnit.NANOSECONDS.timedWait(this, left);
            }
        } catch (InterruptedException e) {
            throw new AssertionError(e); // nobody has this thread
        }
    }

    private void release(String pullId) {
        change(() -> unsettled++);
        settler.release(pullId).thenAccept(this::settled);
    }

    private void releaseLate(PullResponse late, String pullId) {
        if (late.getDeliveriesCount() > 0) {
            settler.release(pullId).thenAccept(this::tell);
        }
    }

    private void settled(TriggersException error) {
        tell(error);
        change(() -> unsettled--);
    }

    // ---- handle ----

    private void begin(List<triggers.v1.Delivery> deliveries, boolean again, long sent) {
        boolean complete =
                deliveries.stream().allMatch(each -> each.hasEvent() && !each.getAckId().isEmpty());
        need(complete, "has a delivery without an event or ack id");
        if (deliveries.isEmpty() && System.nanoTime() - sent < AT_ONCE.toNanos()) {
            rest(REST.toNanos());
        }
        for (triggers.v1.Delivery each : deliveries) {
            change(
                    () -> {
                        free--;
                        unsettled++;
                    });
            new Work(each).begin(again);
        }
    }

    private static void need(boolean there, String problem) {
        if (!there) {
            throw new TriggersException(
                    Code.INTERNAL, "ANSWER_MALFORMED", "the core's answer " + problem);
        }
    }

    /** A delivery until it is settled. */
    private final class Work {
        private final String ackId;
        private final Delivery delivery;

        // Under the monitor: of the next extension, until the handler has ended.
        private Future<?> timer;
        private boolean ended;

        Work(triggers.v1.Delivery given) {
            ackId = given.getAckId();
            delivery = new Delivery(given.getEvent(), given.getDeliveryAttempt());
        }

        /** How old a lease is whose pull was sent again is not known: it is extended at once. */
        void begin(boolean again) {
            keep(again ? Duration.ZERO : lease.dividedBy(3));
            CompletionStage<?> handled;
            try {
                handled = Objects.requireNonNull(handler.apply(delivery), "a handler's future");
            } catch (RuntimeException | Error e) {
                handled = CompletableFuture.failedFuture(e);
            }
            handled.whenComplete((result, error) -> end(error));
        }

        private synchronized void keep(Duration wait) {
            if (!ended) {
                timer = caller.later(this::extend, wait);
            }
        }

        private void extend() {
            settler.extend(ackId).thenAccept(this::extended);
        }

        private void extended(TriggersException error) {
            if (hasEnded()) {
                return;
            }
            tell(error);
            if (error == null || error.isRetryable() && !error.reason().equals("LEASE_LOST")) {
                keep(lease.dividedBy(3));
            } else if (!error.reason().equals("LEASE_TOO_LONG") && error.code() != Code.CANCELLED) {
                delivery.lose();
                caller.callback(delivery::completeLost);
            }
        }

        private synchronized boolean hasEnded() {
            return ended;
        }

        private void end(Throwable error) {
            stopKeeping();
            change(() -> free++);
            if (delivery.isLost()) {
                settled(null);
            } else if (error == null) {
                settler.ack(ackId).thenAccept(Worker.this::settled);
            } else {
                settler.nack(ackId, reasonOf(error)).thenAccept(Worker.this::settled);
            }
        }

        private synchronized void stopKeeping() {
            ended = true;
            if (timer != null) {
                timer.cancel(false);
            }
        }
    }

    private static String reasonOf(Throwable error) {
        Throwable cause =
                error instanceof CompletionException && error.getCause() != null
                        ? error.getCause()
                        : error;
        String text = cause.getMessage();
        if (text == null || text.isEmpty()) {
            return cause.getClass().getSimpleName();
        }
        return text.codePointCount(0, text.length()) <= MAX_REASON
                ? text
                : text.substring(0, text.offsetByCodePoints(0, MAX_REASON));
    }

    private static Backoff newBackoff() {
        return new Backoff(TimeUnit.MILLISECONDS.toNanos(50), TimeUnit.SECONDS.toNanos(2));
    }
}
