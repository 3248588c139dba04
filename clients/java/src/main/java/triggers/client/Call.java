package triggers.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;
import triggers.rpc.v1.Code;
import triggers.rpc.v1.Request;
import triggers.rpc.v1.Response;

/** One call from its start to its outcome, through all its tries. */
final class Call<R> {
    /** The largest request, in bytes; a core takes 8 MiB unless set to take larger payloads. */
    private static final int MAX_REQUEST = 10_551_296;

    /** A core answers every call by its deadline; after such a silence the connection is dead. */
    private static final long SILENCE = TimeUnit.SECONDS.toNanos(1);

    /** Reads the response's message. */
    interface Reader<R> {
        /** Throws as well when the answer lacks what belongs to it. */
        R read(ByteString body) throws InvalidProtocolBufferException;
    }

    private final Dispatcher dispatcher;
    private final boolean blocking;
    private final Method method;
    private final Supplier<Map<String, String>> metadata;
    private final ByteString body;
    private final Reader<R> reader;
    private final long deadline;
    private final AtomicBoolean settled = new AtomicBoolean();
    private final CompletableFuture<R> future = new CompletableFuture<>();
    private final Backoff backoff =
            new Backoff(TimeUnit.MILLISECONDS.toNanos(50), TimeUnit.SECONDS.toNanos(2));

    // From the start on, the same for all tries, but for those after a refusal of the key.
    private volatile Request envelope;
    private boolean renewed; // it has been asked for another key

    // The latest try; null while it has no connection.
    private volatile Dispatcher.Route route;
    private volatile long sentAt;
    private volatile boolean sent;
    private volatile Future<?> expiry;

    /**
     * A blocking call's future is completed on the thread that reads, as nothing hangs on it. The
     * metadata is asked for at the start; a TriggersException of that is the call's.
     */
    Call(
            Dispatcher dispatcher,
            boolean blocking,
            Supplier<Map<String, String>> metadata,
            Method method,
            MessageLite body,
            Reader<R> reader,
            long timeoutNanos) {
        this.dispatcher = dispatcher;
        this.blocking = blocking;
        this.metadata = metadata;
        this.method = method;
        this.body = body.toByteString();
        this.reader = reader;
        deadline = System.nanoTime() + timeoutNanos;
        future.whenComplete((result, error) -> settle()); // cancelled by its owner
    }

    CompletableFuture<R> start() {
        try {
            envelope = makeEnvelope();
        } catch (TriggersException e) {
            fail(e);
            return future;
        }
        expiry = dispatcher.later(this::expire, deadline - System.nanoTime());
        dispatcher.start(this);
        return future;
    }

    private Request makeEnvelope() {
        return Request.newBuilder()
                .setMethod(method.name())
                .putAllMetadata(metadata.get())
                .setBody(body)
                .build();
    }

    boolean isSettled() {
        return settled.get();
    }

    /** Sends the call on any connection, or as soon as there is one. */
    void send() {
        route = null;
        boolean done = false;
        while (!done && !settled.get()) {
            Dispatcher.Route next = dispatcher.route(this);
            done = next == null || sendOn(next);
        }
    }

    /** The connection that the latest try went out on dropped. */
    void lost() {
        if (method.repeatable()) {
            send();
            return;
        }
        String text =
                "the connection was lost ("
                        + dispatcher.problem()
                        + "); the call may or may not have been done";
        fail(new TriggersException(Code.UNAVAILABLE, "CONNECTION_LOST", text));
    }

    private boolean sendOn(Dispatcher.Route next) {
        byte[] message = encode();
        if (message.length > MAX_REQUEST + Integer.BYTES) {
            String text = "the request is larger than " + MAX_REQUEST + " bytes";
            fail(new TriggersException(Code.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE", text));
            return true;
        }
        sentAt = System.nanoTime();
        sent = true;
        route = next;
        boolean taken = next.connection().send(this, next.id(), message);
        if (settled.get()) {
            next.connection().forget(next.id()); // settled before the connection knew of it
        }
        return taken;
    }

    /** The envelope with what is left of the deadline, behind four bytes for the id. */
    private byte[] encode() {
        long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
        int timeout = (int) Math.max(1, Math.min(left, Integer.MAX_VALUE));
        Request request = envelope.toBuilder().setTimeoutMs(timeout).build();
        int size = request.getSerializedSize();
        byte[] message = new byte[Integer.BYTES + size];
        try {
            request.writeTo(CodedOutputStream.newInstance(message, Integer.BYTES, size));
        } catch (IOException e) {
            throw new UncheckedIOException(e); // an array of the right size takes it
        }
        return message;
    }

    /** Takes the answer to a try. */
    void answered(ByteBuffer message) {
        Response response;
        R result;
        try {
            response = Response.parseFrom(message);
            result = response.getCode() == Code.OK ? reader.read(response.getBody()) : null;
        } catch (InvalidProtocolBufferException e) {
            String text = "the core's answer cannot be read: " + e.getMessage();
            fail(new TriggersException(Code.INTERNAL, "ANSWER_MALFORMED", text));
            return;
        }
        if (response.getCode() == Code.OK) {
            settle(() -> future.complete(result));
            return;
        }
        TriggersException error =
                TriggersException.of(
                        response.getCode(), response.getMessage(), response.getDetails());
        if (!renews(error) && !retries(error)) {
            fail(error);
        }
    }

    /** Once, sends the call again if its key was refused and there is another one now. */
    private boolean renews(TriggersException error) {
        if (renewed || error.code() != Code.UNAUTHENTICATED) {
            return false;
        }
        renewed = true;
        dispatcher.callback(() -> renew(error)); // the user's supplier may block
        return true;
    }

    private void renew(TriggersException refusal) {
        Request other;
        try {
            other = makeEnvelope();
        } catch (TriggersException e) {
            fail(refusal);
            return;
        }
        if (other.getMetadataMap().equals(envelope.getMetadataMap())) {
            fail(refusal);
            return;
        }
        envelope = other;
        send();
    }

    /** Sends the call again later if that may help and there is time. */
    private boolean retries(TriggersException error) {
        if (!method.repeatable()
                || !error.isRetryable()
                || error.code() == Code.DEADLINE_EXCEEDED) {
            return false;
        }
        long wait = Math.max(backoff.next(), error.retryDelay().toNanos());
        if (System.nanoTime() + wait - deadline >= 0) {
            return false;
        }
        dispatcher.later(this::send, wait);
        return true;
    }

    private void expire() {
        Dispatcher.Route last = route;
        if (last != null) {
            fail(
                    new TriggersException(
                            Code.DEADLINE_EXCEEDED,
                            "DEADLINE_EXCEEDED",
                            "the core did not answer in time"));
            long now = System.nanoTime();
            if (now - sentAt >= SILENCE && last.connection().heardAt() - sentAt < 0) {
                last.connection().lost(new IOException("the core did not answer"));
            }
        } else {
            fail(
                    new TriggersException(
                            Code.UNAVAILABLE,
                            sent ? "CONNECTION_LOST" : "CORE_UNREACHABLE",
                            "no core can be reached; " + dispatcher.problem()));
        }
    }

    void fail(TriggersException error) {
        settle(() -> future.completeExceptionally(error));
    }

    /** The first outcome counts. */
    private void settle(Runnable outcome) {
        if (settle()) {
            if (blocking) {
                outcome.run();
            } else {
                dispatcher.callback(outcome);
            }
        }
    }

    private boolean settle() {
        if (!settled.compareAndSet(false, true)) {
            return false;
        }
        Future<?> timer = expiry;
        if (timer != null) {
            timer.cancel(false);
        }
        Dispatcher.Route last = route;
        if (last != null) {
            last.connection().forget(last.id());
        }
        dispatcher.finished(this);
        return true;
    }
}
