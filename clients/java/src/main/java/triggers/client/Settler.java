package triggers.client;

import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Function;
import triggers.rpc.v1.Code;
import triggers.v1.AckRequest;
import triggers.v1.AckResponse;
import triggers.v1.ExtendRequest;
import triggers.v1.ExtendResponse;
import triggers.v1.NackRequest;
import triggers.v1.NackResponse;
import triggers.v1.ReleaseRequest;
import triggers.v1.ReleaseResponse;
import triggers.v1.SettleResult;

/**
 * Settles the deliveries of a worker: those that are settled alike while a call is under way go
 * together in the next. Its futures give null when it was done, else why it was not, be it the call
 * that failed.
 */
final class Settler {
    static final String SUBSCRIPTIONS = "triggers.v1.SubscriptionService/";

    private static final int MAX_SETTLED = 1000; // in a call

    private final Caller caller;
    private final String subscription;
    private final Duration lease;

    // What gathers for the next call; there is a list as long as one is under way. Under the
    // monitor.
    private final Map<Kind, List<Waiting>> gathered = new HashMap<>();

    Settler(Caller caller, String subscription, Duration lease) {
        this.caller = caller;
        this.subscription = subscription;
        this.lease = lease;
    }

    /** What makes settlements alike. */
    private record Kind(String method, String reason) {}

    private record Waiting(String ackId, CompletableFuture<TriggersException> result) {}

    CompletableFuture<TriggersException> ack(String ackId) {
        return settle(new Kind("Ack", ""), ackId);
    }

    CompletableFuture<TriggersException> nack(String ackId, String reason) {
        return settle(new Kind("Nack", reason), ackId);
    }

    CompletableFuture<TriggersException> extend(String ackId) {
        return settle(new Kind("Extend", ""), ackId);
    }

    /** Ends a pull that waits, and gives back what it got. */
    CompletableFuture<TriggersException> release(String pullId) {
        ReleaseRequest request =
                ReleaseRequest.newBuilder().setName(subscription).setPullId(pullId).build();
        return caller.start(
                        SUBSCRIPTIONS + "Release",
                        request,
                        ReleaseResponse.parser(),
                        caller.timeout())
                .handle((response, error) -> error == null ? null : failure(error));
    }

    private CompletableFuture<TriggersException> settle(Kind kind, String ackId) {
        Waiting one = new Waiting(ackId, new CompletableFuture<>());
        synchronized (this) {
            List<Waiting> others = gathered.get(kind);
            if (others != null) {
                others.add(one);
                return one.result;
            }
            gathered.put(kind, new ArrayList<>());
        }
        send(kind, List.of(one));
        return one.result;
    }

    private void send(Kind kind, List<Waiting> batch) {
        List<String> ids = batch.stream().map(Waiting::ackId).toList();
        call(kind, ids)
                .whenComplete(
                        (results, error) -> {
                            tell(batch, results, error);
                            sendNext(kind);
                        });
    }

    private void sendNext(Kind kind) {
        List<Waiting> batch = next(kind);
        if (!batch.isEmpty()) {
            send(kind, batch);
        }
    }

    private synchronized List<Waiting> next(Kind kind) {
        List<Waiting> waiting = gathered.get(kind);
        List<Waiting> first = waiting.subList(0, Math.min(waiting.size(), MAX_SETTLED));
        List<Waiting> batch = List.copyOf(first);
        first.clear();
        if (batch.isEmpty()) {
            gathered.remove(kind);
        }
        return batch;
    }

    private static void tell(List<Waiting> batch, List<SettleResult> results, Throwable error) {
        TriggersException failure = error == null ? null : failure(error);
        if (failure == null && results.size() != batch.size()) {
            failure =
                    new TriggersException(
                            Code.INTERNAL,
                            "ANSWER_MALFORMED",
                            "the core's answer has not a result per ack id");
        }
        for (int i = 0; i < batch.size(); i++) {
            batch.get(i).result.complete(failure != null ? failure : errorOf(results.get(i)));
        }
    }

    private static TriggersException errorOf(SettleResult result) {
        return result.hasError() ? TriggersException.of(result.getError()) : null;
    }

    private static TriggersException failure(Throwable error) {
        Throwable cause = error instanceof CompletionException ? error.getCause() : error;
        return (TriggersException) cause;
    }

    private CompletableFuture<List<SettleResult>> call(Kind kind, List<String> ids) {
        return switch (kind.method) {
            case "Ack" ->
                    call(
                            kind,
                            AckRequest.newBuilder().setName(subscription).addAllAckIds(ids).build(),
                            AckResponse.parser(),
                            AckResponse::getResultsList);
            case "Nack" ->
                    call(
                            kind,
                            NackRequest.newBuilder()
                                    .setName(subscription)
                                    .addAllAckIds(ids)
                                    .setReason(kind.reason)
                                    .build(),
                            NackResponse.parser(),
                            NackResponse::getResultsList);
            default ->
                    call(
                            kind,
                            ExtendRequest.newBuilder()
                                    .setName(subscription)
                                    .addAllAckIds(ids)
                                    .setLeaseSeconds((int) lease.toSeconds())
                                    .build(),
                            ExtendResponse.parser(),
                            ExtendResponse::getResultsList);
        };
    }

    private <R extends Message> CompletableFuture<List<SettleResult>> call(
            Kind kind, Message request, Parser<R> response, Function<R, List<SettleResult>> read) {
        Duration own = caller.timeout();
        Duration timeout = own.compareTo(lease) > 0 ? own : lease;
        return caller.start(SUBSCRIPTIONS + kind.method, request, response, timeout)
                .thenApply(read);
    }
}
