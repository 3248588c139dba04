package triggers.client;

import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;

/** What a worker needs of a client. */
interface Caller {
    /** A call whose future may be completed on the thread that reads: nothing on it may block. */
    <R extends Message> CompletableFuture<R> start(
            String method, Message request, Parser<R> response, Duration timeout);

    /** The deadline of calls. */
    Duration timeout();

    /** Runs it after the time, on a thread that it may not block; null: not at all. */
    Future<?> later(Runnable work, Duration wait);

    /** Runs what is the user's, which may block. */
    void callback(Runnable work);
}
