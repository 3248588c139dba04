package triggers.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import java.net.URI;
import java.net.http.HttpClient;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Future;
import java.util.function.Supplier;
import triggers.health.v1.HealthCheckRequest;
import triggers.health.v1.HealthCheckResponse;
import triggers.rpc.v1.Code;
import triggers.v1.AckEventRequest;
import triggers.v1.AckEventResponse;
import triggers.v1.AckEventResult;
import triggers.v1.BatchAckEventsRequest;
import triggers.v1.BatchAckEventsResponse;
import triggers.v1.BatchCreateEventsRequest;
import triggers.v1.BatchCreateEventsResponse;
import triggers.v1.CreateEventRequest;
import triggers.v1.CreateEventResponse;
import triggers.v1.CreateEventResult;
import triggers.v1.EraseEventRequest;
import triggers.v1.EraseEventResponse;
import triggers.v1.Event;
import triggers.v1.GetEventRequest;
import triggers.v1.GetEventResponse;
import triggers.v1.ListEventsRequest;
import triggers.v1.ListEventsResponse;
import triggers.v1.ListInboxRequest;
import triggers.v1.ListInboxResponse;
import triggers.v1.ListKindsRequest;
import triggers.v1.ListKindsResponse;

/**
 * A client of triggersd.
 *
 * <p>One client holds one connection to each address, connects and reconnects by itself, and
 * carries any number of calls at once. It is safe to share between threads. Every call has a
 * blocking form, which throws {@link TriggersException} when the call failed, and an asynchronous
 * one, whose future fails with it; cancelling that future, or interrupting a thread that blocks,
 * ends the call.
 *
 * <p>A call is tried until its deadline: again when its connection dropped, and again when the
 * answer is UNAVAILABLE, RESOURCE_EXHAUSTED or ABORTED. A create gets its event id once, so it is
 * stored once. The core ends a try after 30 s with DEADLINE_EXCEEDED, which ends the call.
 *
 * <p>Wrong arguments throw, of both forms before anything is sent: {@link NullPointerException} for
 * null, {@link IllegalArgumentException} for a text that UTF-8 cannot express.
 */
public final class TriggersClient implements AutoCloseable {
    /** Where a core listens unless told otherwise. */
    public static final String DEFAULT_URL = "ws://127.0.0.1:7300/rpc";

    private static final String EVENTS = "triggers.v1.EventService/";
    private static final Duration LONGEST = Duration.ofMillis(Integer.MAX_VALUE);
    private static final int LONGEST_WAIT_MS = 20_000; // of a core

    private final Dispatcher dispatcher;
    private final Duration timeout;
    private final Map<String, String> metadata;
    private final Credentials credentials;

    private TriggersClient(
            Dispatcher dispatcher,
            Duration timeout,
            Map<String, String> metadata,
            Credentials credentials) {
        this.dispatcher = dispatcher;
        this.timeout = timeout;
        this.metadata = metadata;
        this.credentials = credentials;
    }

    /**
     * Opens a client of the cores at these URLs, separated by commas; returns at once and connects
     * in the background.
     *
     * @throws IllegalArgumentException if one is no ws://, wss:// or tcp:// URL
     */
    public static TriggersClient open(String urls) {
        return builder().urls(urls).open();
    }

    /** Starts to describe a client. */
    public static Builder builder() {
        return new Builder();
    }

    /** The version of this artefact. */
    public static String version() {
        return Version.TEXT;
    }

    /** How a client is to be. Every setting has a default. */
    public static final class Builder {
        private List<URI> addresses = Address.parseList(DEFAULT_URL);
        private Path caFile;
        private Duration timeout = Duration.ofSeconds(10);
        private String program;
        private Credentials credentials = Credentials.NONE;
        private Executor executor = ForkJoinPool.commonPool();

        private Builder() {}

        /** The addresses, separated by commas: calls are spread over those that are connected. */
        public Builder urls(String urls) {
            addresses = Address.parseList(urls);
            return this;
        }

        /** Certificates in PEM to trust with wss; without it, those that Java trusts. */
        public Builder caFile(Path file) {
            caFile = file;
            return this;
        }

        /** The deadline of calls; 10 s unless set. */
        public Builder timeout(Duration timeout) {
            this.timeout = checkTimeout(timeout);
            return this;
        }

        /** Name and version of the program, such as {@code crm/1.2}, for the core's log. */
        public Builder program(String nameAndVersion) {
            program = Arguments.text("program", nameAndVersion);
            return this;
        }

        /**
         * The key that calls carry.
         *
         * @throws IllegalArgumentException if it is empty, or has other than visible characters of
         *     ASCII
         */
        public Builder apiKey(String key) {
            credentials = Credentials.of(key);
            return this;
        }

        /**
         * Gives the current key. It is called once for each call, on the thread that makes it, a
         * worker's own too: it should not block for long. When it throws, the call fails as
         * UNAUTHENTICATED with the reason KEY_UNAVAILABLE.
         */
        public Builder apiKey(Supplier<String> key) {
            credentials = Credentials.of(key);
            return this;
        }

        /** Runs what hangs on futures; the common pool unless set. */
        public Builder executor(Executor executor) {
            this.executor = executor;
            return this;
        }

        /**
         * Opens the client; returns at once and connects in the background.
         *
         * @throws IllegalArgumentException if the CA file cannot be used
         */
        public TriggersClient open() {
            HttpClient.Builder http = HttpClient.newBuilder();
            if (caFile != null) {
                http.sslContext(Trust.of(caFile));
            }
            String self = "triggers-java/" + Version.TEXT;
            String client = program == null ? self : program + " " + self;
            return new TriggersClient(
                    new Dispatcher(addresses, http.build(), executor),
                    timeout,
                    Map.of("client", client),
                    credentials);
        }
    }

    /** This client, sharing its connections, with another deadline for calls. */
    public TriggersClient withTimeout(Duration timeout) {
        return new TriggersClient(dispatcher, checkTimeout(timeout), metadata, credentials);
    }

    /**
     * This client, sharing its connections, with side information on each call: the core logs
     * {@code request-id} and {@code traceparent}.
     */
    public TriggersClient withMetadata(String name, String value) {
        Map<String, String> more = new HashMap<>(metadata);
        more.put(Arguments.text("name", name), Arguments.text("value", value));
        return new TriggersClient(dispatcher, timeout, Map.copyOf(more), credentials);
    }

    /** Closes the connections; calls that are not done fail as CANCELLED. May be called again. */
    @Override
    public void close() {
        dispatcher.close();
    }

    /** Stores an event whose payload is the text of one JSON object. */
    public CreateEventResponse create(String source, String eventType, String payload) {
        return create(event(source, eventType, payload));
    }

    /** Stores an event. Without an id and an idempotency key it gets an id here. */
    public CreateEventResponse create(CreateEventRequest event) {
        return await(createCall(event, true));
    }

    /** As {@link #create(CreateEventRequest)}. */
    public CompletableFuture<CreateEventResponse> createAsync(CreateEventRequest event) {
        return createCall(event, false).start();
    }

    /** Stores 1 to 1000 events, each by itself; the results are in the order of the events. */
    public List<CreateEventResult> createBatch(List<CreateEventRequest> events) {
        return await(createBatchCall(events, true));
    }

    /** As {@link #createBatch}. */
    public CompletableFuture<List<CreateEventResult>> createBatchAsync(
            List<CreateEventRequest> events) {
        return createBatchCall(events, false).start();
    }

    /** Reads an event. */
    public Event get(String eventId) {
        return await(getCall(eventId, true));
    }

    /** As {@link #get}. */
    public CompletableFuture<Event> getAsync(String eventId) {
        return getCall(eventId, false).start();
    }

    /** Reads one page of a list. */
    public ListInboxResponse list(ListInboxRequest request) {
        return await(listCall(request, true));
    }

    /** As {@link #list}. */
    public CompletableFuture<ListInboxResponse> listAsync(ListInboxRequest request) {
        return listCall(request, false).start();
    }

    /**
     * All events of a list, fetched a page at a time while it is walked through; each page has the
     * deadline of a call. The request's page size is that of the pages.
     */
    public Iterable<Event> listAll(ListInboxRequest request) {
        return () -> new EventPages(request, this::list);
    }

    /**
     * Reads a part of the log, the events of every status in the order of the commits. Continue
     * from the answer's next_after. With a wait an answer without events comes when that time is
     * over, and the call has so much more time. OUT_OF_RANGE, see {@link
     * TriggersException#firstSequence}, when events after the position were removed.
     */
    public ListEventsResponse listEvents(ListEventsRequest request) {
        return await(listEventsCall(request, true));
    }

    /** As {@link #listEvents}. */
    public CompletableFuture<ListEventsResponse> listEventsAsync(ListEventsRequest request) {
        return listEventsCall(request, false).start();
    }

    /**
     * The events of the log from the request's position on, and, by waiting at its end, those to
     * come; see {@link Follower}. The request's wait, 20 s when it has none, is that of one call.
     */
    public Follower follow(ListEventsRequest request) {
        ListEventsRequest first =
                request.getWaitMs() == 0
                        ? request.toBuilder().setWaitMs(LONGEST_WAIT_MS).build()
                        : request;
        Arguments.filter(first.getFilter());
        return new Follower(first, next -> listEventsCall(next, true).start());
    }

    /** Starts to describe a worker on the events of a subscription, such as {@code inbox}. */
    public Worker.Builder worker(String subscription) {
        return new Worker.Builder(new WorkerCalls(), Arguments.text("subscription", subscription));
    }

    private final class WorkerCalls implements Caller {
        @Override
        public <R extends Message> CompletableFuture<R> start(
                String method, Message request, Parser<R> response, Duration timeout) {
            return withTimeout(timeout).anyCall(true, method, request, response).start();
        }

        @Override
        public Duration timeout() {
            return timeout;
        }

        @Override
        public Future<?> later(Runnable work, Duration wait) {
            return dispatcher.later(work, wait.toNanos());
        }

        @Override
        public void callback(Runnable work) {
            dispatcher.callback(work);
        }
    }

    /** Reads one page of the kinds, the pairs of source and event type that events have or had. */
    public ListKindsResponse listKinds(ListKindsRequest request) {
        return await(listKindsCall(request, true));
    }

    /** As {@link #listKinds}. */
    public CompletableFuture<ListKindsResponse> listKindsAsync(ListKindsRequest request) {
        return listKindsCall(request, false).start();
    }

    /** Acknowledges an event. Acknowledging again answers with the first time. */
    public AckEventResponse ack(String eventId) {
        return await(ackCall(eventId, true));
    }

    /** As {@link #ack}. */
    public CompletableFuture<AckEventResponse> ackAsync(String eventId) {
        return ackCall(eventId, false).start();
    }

    /** Acknowledges 1 to 1000 events, each by itself; the results are in the order of the ids. */
    public List<AckEventResult> ackBatch(List<String> eventIds) {
        return await(ackBatchCall(eventIds, true));
    }

    /** As {@link #ackBatch}. */
    public CompletableFuture<List<AckEventResult>> ackBatchAsync(List<String> eventIds) {
        return ackBatchCall(eventIds, false).start();
    }

    /**
     * Removes the payload of an event for good; it cannot be undone. The event keeps its place in
     * the log and its status, and its create sent again answers as before. Erasing again changes
     * nothing.
     */
    public EraseEventResponse erase(String eventId) {
        return await(eraseCall(eventId, true));
    }

    /** As {@link #erase}. */
    public CompletableFuture<EraseEventResponse> eraseAsync(String eventId) {
        return eraseCall(eventId, false).start();
    }

    /** Whether the core can do its work now, its version and its store. */
    public HealthCheckResponse health() {
        return await(healthCall(true));
    }

    /** As {@link #health}. */
    public CompletableFuture<HealthCheckResponse> healthAsync() {
        return healthCall(false).start();
    }

    /**
     * Makes any call of the protocol, with generated messages: {@code
     * call("triggers.stats.v1.StatsService/GetStats", GetStatsRequest.getDefaultInstance(),
     * GetStatsResponse.parser())}. What the .proto file does not call repeatable is sent once, and
     * a lost connection is its end, as CONNECTION_LOST.
     *
     * @throws IllegalArgumentException if there is no such method, or it has other messages
     */
    public <R extends Message> R call(String method, Message request, Parser<R> response) {
        return await(anyCall(true, method, request, response));
    }

    /** As {@link #call}. */
    public <R extends Message> CompletableFuture<R> callAsync(
            String method, Message request, Parser<R> response) {
        return anyCall(false, method, request, response).start();
    }

    /**
     * An event to create, whose payload is the text of one JSON object.
     *
     * @throws IllegalArgumentException if half of a surrogate pair stands alone in a text
     */
    public static CreateEventRequest event(String source, String eventType, String payload) {
        return CreateEventRequest.newBuilder()
                .setSource(Arguments.text("source", source))
                .setEventType(Arguments.text("event_type", eventType))
                .setPayload(ByteString.copyFromUtf8(Arguments.text("payload", payload)))
                .build();
    }

    private Call<CreateEventResponse> createCall(CreateEventRequest event, boolean blocking) {
        CreateEventRequest request = withId(Arguments.event("event", event));
        return call(
                blocking,
                EVENTS + "CreateEvent",
                request,
                CreateEventResponse.parser(),
                Answers::created);
    }

    private Call<List<CreateEventResult>> createBatchCall(
            List<CreateEventRequest> events, boolean blocking) {
        BatchCreateEventsRequest.Builder batch = BatchCreateEventsRequest.newBuilder();
        events.forEach(each -> batch.addEvents(withId(Arguments.event("an event", each))));
        int count = events.size();
        return call(
                blocking,
                EVENTS + "BatchCreateEvents",
                batch.build(),
                BatchCreateEventsResponse.parser(),
                response -> Answers.createdBatch(response, count));
    }

    private Call<Event> getCall(String eventId, boolean blocking) {
        GetEventRequest request =
                GetEventRequest.newBuilder()
                        .setEventId(Arguments.text("event_id", eventId))
                        .build();
        return call(
                blocking, EVENTS + "GetEvent", request, GetEventResponse.parser(), Answers::event);
    }

    private Call<ListInboxResponse> listCall(ListInboxRequest request, boolean blocking) {
        Arguments.text("page_token", request.getPageToken());
        Arguments.filter(request.getFilter());
        return anyCall(blocking, EVENTS + "ListInbox", request, ListInboxResponse.parser());
    }

    private Call<ListEventsResponse> listEventsCall(ListEventsRequest request, boolean blocking) {
        Arguments.filter(request.getFilter());
        long wait = Math.min(Integer.toUnsignedLong(request.getWaitMs()), LONGEST_WAIT_MS);
        return withTimeout(timeout.plusMillis(wait))
                .anyCall(blocking, EVENTS + "ListEvents", request, ListEventsResponse.parser());
    }

    private Call<ListKindsResponse> listKindsCall(ListKindsRequest request, boolean blocking) {
        Arguments.text("page_token", request.getPageToken());
        return anyCall(blocking, EVENTS + "ListKinds", request, ListKindsResponse.parser());
    }

    private Call<AckEventResponse> ackCall(String eventId, boolean blocking) {
        AckEventRequest request =
                AckEventRequest.newBuilder()
                        .setEventId(Arguments.text("event_id", eventId))
                        .build();
        return call(
                blocking,
                EVENTS + "AckEvent",
                request,
                AckEventResponse.parser(),
                Answers::acknowledged);
    }

    private Call<List<AckEventResult>> ackBatchCall(List<String> eventIds, boolean blocking) {
        List<String> ids = new ArrayList<>(eventIds);
        ids.forEach(id -> Arguments.text("an event id", id));
        return call(
                blocking,
                EVENTS + "BatchAckEvents",
                BatchAckEventsRequest.newBuilder().addAllEventIds(ids).build(),
                BatchAckEventsResponse.parser(),
                response -> Answers.acknowledgedBatch(response, ids.size()));
    }

    private Call<EraseEventResponse> eraseCall(String eventId, boolean blocking) {
        EraseEventRequest request =
                EraseEventRequest.newBuilder()
                        .setEventId(Arguments.text("event_id", eventId))
                        .build();
        return call(
                blocking,
                EVENTS + "EraseEvent",
                request,
                EraseEventResponse.parser(),
                Answers::erased);
    }

    private Call<HealthCheckResponse> healthCall(boolean blocking) {
        return anyCall(
                blocking,
                "triggers.health.v1.Health/Check",
                HealthCheckRequest.getDefaultInstance(),
                HealthCheckResponse.parser());
    }

    private <R extends Message> Call<R> anyCall(
            boolean blocking, String method, Message request, Parser<R> response) {
        return call(blocking, method, request, response, answer -> answer);
    }

    /** Takes what is wanted of a response. */
    private interface Reader<A, R> {
        /** Throws when the response lacks what belongs to it. */
        R read(A response) throws InvalidProtocolBufferException;
    }

    private <A extends Message, R> Call<R> call(
            boolean blocking,
            String method,
            Message request,
            Parser<A> response,
            Reader<A, R> reader) {
        return new Call<>(
                dispatcher,
                blocking,
                () -> credentials.addTo(metadata),
                Method.of(method, request, response),
                request,
                body -> reader.read(response.parseFrom(body)),
                timeout.toNanos());
    }

    private static CreateEventRequest withId(CreateEventRequest event) {
        boolean named = !event.getEventId().isEmpty() || !event.getIdempotencyKey().isEmpty();
        return named ? event : event.toBuilder().setEventId(EventId.make()).build();
    }

    private static Duration checkTimeout(Duration timeout) {
        if (timeout.isNegative() || timeout.isZero()) {
            throw new IllegalArgumentException("a timeout of " + timeout + "; it must be positive");
        }
        return timeout.compareTo(LONGEST) > 0 ? LONGEST : timeout;
    }

    private static <R> R await(Call<R> call) {
        return await(call.start());
    }

    static <R> R await(CompletableFuture<R> future) {
        try {
            return future.get();
        } catch (InterruptedException e) {
            future.cancel(false);
            Thread.currentThread().interrupt();
            throw new TriggersException(
                    Code.CANCELLED, "INTERRUPTED", "the thread was interrupted during the call");
        } catch (ExecutionException e) {
            // Nobody else has it: the caller's stack says more than that of the thread that read.
            e.getCause().fillInStackTrace();
            throw (TriggersException) e.getCause();
        }
    }
}
