package triggers.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import triggers.rpc.v1.Code;
import triggers.rpc.v1.ErrorDetails;
import triggers.v1.AckRequest;
import triggers.v1.AckResponse;
import triggers.v1.Event;
import triggers.v1.ExtendRequest;
import triggers.v1.ExtendResponse;
import triggers.v1.GetSubscriptionRequest;
import triggers.v1.GetSubscriptionResponse;
import triggers.v1.ItemError;
import triggers.v1.NackRequest;
import triggers.v1.NackResponse;
import triggers.v1.PullRequest;
import triggers.v1.PullResponse;
import triggers.v1.ReleaseRequest;
import triggers.v1.ReleaseResponse;
import triggers.v1.SettleResult;
import triggers.v1.Subscription;

/** Workers whose calls and timers the tests have in hand. */
@Timeout(30)
class WorkerTest {
    /** A call that waits for its answer. */
    private record Asked(Message request, CompletableFuture<Message> answer) {}

    private record Timer(Duration after, FutureTask<?> work) {}

    private static final class Calls implements Caller {
        private final List<BlockingQueue<Asked>> queues =
                Stream.<BlockingQueue<Asked>>generate(LinkedBlockingQueue::new).limit(6).toList();
        final BlockingQueue<Timer> timers = new LinkedBlockingQueue<>();
        final BlockingQueue<TriggersException> told = new LinkedBlockingQueue<>();

        private static final List<Class<? extends Message>> KINDS =
                List.of(
                        PullRequest.class,
                        AckRequest.class,
                        NackRequest.class,
                        ExtendRequest.class,
                        ReleaseRequest.class,
                        GetSubscriptionRequest.class);

        private BlockingQueue<Asked> queue(Class<?> kind) {
            return queues.get(KINDS.indexOf(kind));
        }

        @Override
        public <R extends Message> CompletableFuture<R> start(
                String method, Message request, Parser<R> response, Duration timeout) {
            Method.of(method, request, response); // throws when they do not fit
            CompletableFuture<Message> answer = new CompletableFuture<>();
            queue(request.getClass()).add(new Asked(request, answer));
            @SuppressWarnings("unchecked")
            CompletableFuture<R> typed = (CompletableFuture<R>) answer;
            return typed;
        }

        @Override
        public Duration timeout() {
            return Duration.ofSeconds(10);
        }

        @Override
        public Future<?> later(Runnable work, Duration wait) {
            Timer timer = new Timer(wait, new FutureTask<>(work, null));
            timers.add(timer);
            return timer.work;
        }

        @Override
        public void callback(Runnable work) {
            work.run();
        }

        /** Waits for the next request of a kind. */
        Asked asked(Class<? extends Message> kind) throws InterruptedException {
            Asked found = queue(kind).poll(20, TimeUnit.SECONDS);
            assertTrue(found != null, "no " + kind.getSimpleName());
            return found;
        }

        PullRequest give(String... ackIds) throws InterruptedException {
            Asked pull = asked(PullRequest.class);
            pull.answer.complete(given(ackIds));
            return (PullRequest) pull.request;
        }

        /** Answers a pull's release. */
        void released(String pullId) throws InterruptedException {
            Asked release = asked(ReleaseRequest.class);
            assertEquals(
                    ReleaseRequest.newBuilder().setName("w").setPullId(pullId).build(),
                    release.request);
            release.answer.complete(ReleaseResponse.getDefaultInstance());
        }

        boolean isQuiet() {
            return queues.stream().allMatch(BlockingQueue::isEmpty);
        }

        /** Stops a worker whose pull is held. */
        void stop(Worker worker) throws InterruptedException {
            Asked pull = asked(PullRequest.class);
            worker.stop();
            released(pullId(pull));
            worker.join();
            assertTrue(isQuiet());
        }

        Worker.Builder worker() {
            return new Worker.Builder(this, "w").lease(Duration.ofSeconds(30)).onError(told::add);
        }
    }

    private static String pullId(Asked pull) {
        return ((PullRequest) pull.request).getPullId();
    }

    private static PullResponse given(String... ackIds) {
        PullResponse.Builder response = PullResponse.newBuilder();
        for (String ackId : ackIds) {
            response.addDeliveriesBuilder()
                    .setEvent(Event.getDefaultInstance())
                    .setAckId(ackId)
                    .setDeliveryAttempt(2);
        }
        return response.build();
    }

    private static SettleResult lost() {
        ErrorDetails details = ErrorDetails.newBuilder().setReason("LEASE_LOST").build();
        ItemError error = ItemError.newBuilder().setCode(Code.ABORTED).setDetails(details).build();
        return SettleResult.newBuilder().setError(error).build();
    }

    private static AckResponse acked(int count) {
        AckResponse.Builder response = AckResponse.newBuilder();
        for (int i = 0; i < count; i++) {
            response.addResultsBuilder();
        }
        return response.build();
    }

    private static TriggersException unavailable() {
        return new TriggersException(Code.UNAVAILABLE, "TEST", "not now");
    }

    private final Calls calls = new Calls();

    private static void succeed(Delivery delivery) {}

    @Test
    void whatAPullBringsAfterTheStopIsReleased() throws Exception {
        Worker worker =
                calls.worker()
                        .start(
                                delivery -> {
                                    throw new AssertionError("nothing is begun");
                                });
        Asked pull = calls.asked(PullRequest.class);
        worker.stop();
        calls.released(pullId(pull));
        worker.join();
        pull.answer.complete(given("late"));
        calls.released(pullId(pull));
        assertTrue(calls.isQuiet());
    }

    @Test
    void aPullThatFailedWhenItIsStoppedIsReleased() throws Exception {
        Worker worker = calls.worker().start(WorkerTest::succeed);
        Asked pull = calls.asked(PullRequest.class);
        worker.stop();
        calls.released(pullId(pull));
        pull.answer.completeExceptionally(unavailable());
        worker.join();
        assertTrue(calls.isQuiet());
    }

    @Test
    void aStopWaitsForWhatRunsAndForItsAcknowledgement() throws Exception {
        CountDownLatch goOn = new CountDownLatch(1);
        Worker worker = calls.worker().concurrency(2).start(delivery -> goOn.await());
        assertEquals(2, calls.give("one").getMaxEvents());
        Asked pull = calls.asked(PullRequest.class);
        assertEquals(1, ((PullRequest) pull.request).getMaxEvents());
        worker.stop();
        calls.released(pullId(pull));
        goOn.countDown();
        Asked ack = calls.asked(AckRequest.class);
        assertFalse(worker.done().isDone());
        ack.answer.complete(acked(1));
        worker.close();
        assertTrue(worker.done().isDone());
    }

    @Test
    void aLeaseIsExtendedAtAThirdWhileItsHandlerRuns() throws Exception {
        CompletableFuture<Void> handled = new CompletableFuture<>();
        Worker worker = calls.worker().startAsync(delivery -> handled);
        calls.give("one");
        Timer timer = calls.timers.take();
        assertEquals(Duration.ofSeconds(10), timer.after);
        timer.work.run();
        Asked extend = calls.asked(ExtendRequest.class);
        assertEquals(
                ExtendRequest.newBuilder()
                        .setName("w")
                        .addAckIds("one")
                        .setLeaseSeconds(30)
                        .build(),
                extend.request);
        extend.answer.completeExceptionally(unavailable());
        assertEquals("TEST", calls.told.take().reason());
        timer = calls.timers.take();
        assertEquals(Duration.ofSeconds(10), timer.after);
        handled.complete(null);
        Asked ack = calls.asked(AckRequest.class);
        assertTrue(timer.work.isCancelled());
        ack.answer.complete(acked(1));
        calls.stop(worker);
    }

    @Test
    void aHandlerIsInterruptedWhenItsLeaseIsLostAndNothingIsSettled() throws Exception {
        CompletableFuture<Delivery> begun = new CompletableFuture<>();
        CompletableFuture<Boolean> interrupted = new CompletableFuture<>();
        Worker worker =
                calls.worker()
                        .start(
                                delivery -> {
                                    begun.complete(delivery);
                                    try {
                                        new CountDownLatch(1).await();
                                    } catch (InterruptedException e) {
                                        interrupted.complete(delivery.isLost());
                                        throw e;
                                    }
                                });
        calls.give("one");
        calls.timers.take().work.run();
        Delivery delivery = begun.get();
        assertEquals(2, delivery.attempt());
        assertFalse(delivery.isLost());
        calls.asked(ExtendRequest.class)
                .answer
                .complete(ExtendResponse.newBuilder().addResults(lost()).build());
        assertTrue(interrupted.get());
        delivery.lost().toCompletableFuture().get();
        calls.stop(worker);
    }

    @Test
    void anInterruptOfALostLeaseDoesNotReachTheNextHandler() throws Exception {
        Delivery delivery = new Delivery(Event.getDefaultInstance(), 1);
        delivery.lose();
        delivery.handle(each -> assertTrue(Thread.currentThread().isInterrupted()));
        assertFalse(Thread.interrupted());
        delivery.lose();
        assertFalse(Thread.interrupted());
    }

    @Test
    void aPullThatIsSentAgainIsTheSameAndItsLeasesAreExtendedAtOnce() throws Exception {
        Semaphore goOn = new Semaphore(0);
        Worker worker = calls.worker().start(delivery -> goOn.acquire());
        Asked pull = calls.asked(PullRequest.class);
        pull.answer.completeExceptionally(unavailable());
        Asked again = calls.asked(PullRequest.class);
        assertEquals(pull.request, again.request);
        again.answer.complete(given("one"));
        assertEquals(Duration.ZERO, calls.timers.take().after);
        goOn.release();
        calls.asked(AckRequest.class).answer.complete(acked(1));
        assertEquals("TEST", calls.told.take().reason());
        calls.stop(worker);
    }

    @Test
    void whatEndsWhileACallAcknowledgesGoesTogetherInTheNext() throws Exception {
        BlockingQueue<CompletableFuture<Void>> begun = new LinkedBlockingQueue<>();
        Worker worker =
                calls.worker()
                        .concurrency(3)
                        .startAsync(
                                delivery -> {
                                    CompletableFuture<Void> handled = new CompletableFuture<>();
                                    begun.add(handled);
                                    return handled;
                                });
        calls.give("a", "b", "c");
        begun.take().complete(null);
        Asked first = calls.asked(AckRequest.class);
        assertEquals(List.of("a"), ((AckRequest) first.request).getAckIdsList());
        Asked pull = calls.asked(PullRequest.class); // all are begun, and hang on their futures
        begun.take().complete(null);
        begun.take().complete(null);
        first.answer.complete(acked(1));
        Asked second = calls.asked(AckRequest.class);
        assertEquals(List.of("b", "c"), ((AckRequest) second.request).getAckIdsList());
        second.answer.complete(acked(1)); // one is missing
        assertEquals("ANSWER_MALFORMED", calls.told.take().reason());
        assertEquals("ANSWER_MALFORMED", calls.told.take().reason());
        worker.stop();
        calls.released(pullId(pull));
        worker.join();
    }

    private String reasonOf(Function<Delivery, CompletionStage<?>> handler) throws Exception {
        Worker worker = calls.worker().startAsync(handler);
        calls.give("one");
        Asked nack = calls.asked(NackRequest.class);
        nack.answer.complete(
                NackResponse.newBuilder().addResults(SettleResult.getDefaultInstance()).build());
        calls.stop(worker);
        return ((NackRequest) nack.request).getReason();
    }

    private String reasonOf(Throwable failure) throws Exception {
        return reasonOf(delivery -> CompletableFuture.failedFuture(failure));
    }

    @Test
    void failuresAreReasons() throws Exception {
        String face = "\ud83d\ude00"; // one character
        assertEquals(face.repeat(1000), reasonOf(new Exception(face.repeat(1500))));
        assertEquals("IllegalStateException", reasonOf(new IllegalStateException()));
        assertEquals("IllegalStateException", reasonOf(new IllegalStateException("")));
        assertEquals(
                "deep",
                reasonOf(
                        delivery ->
                                CompletableFuture.failedFuture(new Exception("deep"))
                                        .thenApply(result -> result)));
        assertEquals("a handler's future", reasonOf(delivery -> null));
        assertEquals(
                "at once",
                reasonOf(
                        delivery -> {
                            throw new IllegalStateException("at once");
                        }));
    }

    @Test
    void aCallThatFailsForGoodEndsTheWorkerAfterWhatRuns() throws Exception {
        Semaphore goOn = new Semaphore(0);
        Worker worker = calls.worker().concurrency(2).start(delivery -> goOn.acquire());
        calls.give("one");
        calls.asked(PullRequest.class)
                .answer
                .completeExceptionally(new TriggersException(Code.NOT_FOUND, "GONE", "gone"));
        assertFalse(worker.done().isDone());
        goOn.release();
        calls.asked(AckRequest.class).answer.complete(acked(1));
        assertEquals("GONE", assertThrows(TriggersException.class, worker::join).reason());
        worker.close();
        assertTrue(calls.isQuiet());
    }

    @Test
    void theLeaseIsTheSubscriptionsUnlessStated() throws Exception {
        Worker worker = new Worker.Builder(calls, "w").start(WorkerTest::succeed);
        calls.asked(GetSubscriptionRequest.class).answer.completeExceptionally(unavailable());
        calls.asked(GetSubscriptionRequest.class)
                .answer
                .complete(
                        GetSubscriptionResponse.newBuilder()
                                .setSubscription(Subscription.newBuilder().setLeaseSeconds(7))
                                .build());
        assertEquals(7, calls.give("one").getLeaseSeconds());
        calls.asked(AckRequest.class).answer.complete(acked(1));
        calls.stop(worker);
    }

    @Test
    void settingsAreChecked() {
        Worker.Builder builder = new Worker.Builder(calls, "w");
        for (int wrong : new int[] {0, 1001}) {
            assertThrows(IllegalArgumentException.class, () -> builder.concurrency(wrong));
        }
        for (Duration wrong :
                List.of(Duration.ZERO, Duration.ofMillis(1500), Duration.ofSeconds(43_201))) {
            assertThrows(IllegalArgumentException.class, () -> builder.lease(wrong));
        }
    }
}
