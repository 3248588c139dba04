package triggers.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Parser;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;
import triggers.health.v1.HealthCheckRequest;
import triggers.health.v1.HealthCheckResponse;
import triggers.rpc.v1.Code;
import triggers.rpc.v1.Request;
import triggers.v1.Event;
import triggers.v1.GetEventRequest;
import triggers.v1.GetEventResponse;
import triggers.v1.ListEventsRequest;
import triggers.v1.ListEventsResponse;

/** What the scenarios of clients/conformance cannot say; they test the rest against a core. */
@Timeout(30)
class TriggersClientTest {
    private static final byte[] REPLIER = {0, 'S', 'P', 0, 0, 0x31, 0, 0};

    /** A replier over TCP that takes requests and answers none. */
    private static class SilentCore implements AutoCloseable {
        final ServerSocket server = new ServerSocket(0, 16, InetAddress.getLoopbackAddress());
        final CountDownLatch requested = new CountDownLatch(1);
        final CountDownLatch reconnected = new CountDownLatch(2);
        final CountDownLatch disconnected = new CountDownLatch(1);

        SilentCore() throws IOException {
            Thread thread = new Thread(this::serve);
            thread.setDaemon(true);
            thread.start();
        }

        String url() {
            return "tcp://127.0.0.1:" + server.getLocalPort();
        }

        private void serve() {
            while (!server.isClosed()) {
                try (Socket peer = server.accept()) {
                    peer.getOutputStream().write(REPLIER);
                    reconnected.countDown();
                    serve(peer);
                } catch (IOException e) {
                    // The client broke it off, or the test is over.
                }
                disconnected.countDown();
            }
        }

        void serve(Socket peer) throws IOException {
            read(peer.getInputStream());
        }

        void read(InputStream in) throws IOException {
            in.readNBytes(REPLIER.length);
            while (in.read() >= 0) {
                requested.countDown();
            }
        }

        @Override
        public void close() throws IOException {
            server.close();
        }
    }

    /** One that hangs up when a request begins. */
    private static final class RudeCore extends SilentCore {
        RudeCore() throws IOException {}

        @Override
        void read(InputStream in) throws IOException {
            in.readNBytes(REPLIER.length);
            if (in.read() >= 0) {
                requested.countDown();
            }
        }
    }

    private static TriggersException failure(CompletableFuture<?> call) {
        ExecutionException error =
                assertThrows(ExecutionException.class, () -> call.get(20, TimeUnit.SECONDS));
        return (TriggersException) error.getCause();
    }

    @Test
    void closingEndsCallsAndConnections() throws Exception {
        try (SilentCore core = new SilentCore()) {
            TriggersClient client = TriggersClient.open(core.url());
            CompletableFuture<HealthCheckResponse> call = client.healthAsync();
            assertTrue(core.requested.await(10, TimeUnit.SECONDS));
            client.close();
            client.close();
            assertEquals("CLIENT_CLOSED", failure(call).reason());
            assertTrue(core.disconnected.await(10, TimeUnit.SECONDS));
            TriggersException later = assertThrows(TriggersException.class, client::health);
            assertEquals(Code.CANCELLED, later.code());
        }
    }

    @Test
    void anInterruptEndsABlockingCall() throws Exception {
        try (SilentCore core = new SilentCore();
                TriggersClient client = TriggersClient.open(core.url())) {
            CompletableFuture<String> outcome = new CompletableFuture<>();
            Thread thread =
                    new Thread(
                            () -> {
                                TriggersException error =
                                        assertThrows(TriggersException.class, client::health);
                                boolean kept = Thread.currentThread().isInterrupted();
                                outcome.complete(error.reason() + " " + kept);
                            });
            thread.start();
            assertTrue(core.requested.await(10, TimeUnit.SECONDS));
            thread.interrupt();
            assertEquals("INTERRUPTED true", outcome.get(10, TimeUnit.SECONDS));
        }
    }

    @Test
    void cancellingAFutureEndsTheCall() throws Exception {
        try (SilentCore core = new SilentCore();
                TriggersClient client = TriggersClient.open(core.url())) {
            CompletableFuture<HealthCheckResponse> call = client.healthAsync();
            assertTrue(core.requested.await(10, TimeUnit.SECONDS));
            assertTrue(call.cancel(true));
            assertTrue(call.isCancelled());
        }
    }

    @Test
    void aFollowerThatWaitsIsStopped() throws Exception {
        try (SilentCore core = new SilentCore();
                TriggersClient client = TriggersClient.open(core.url())) {
            Follower follower =
                    client.follow(ListEventsRequest.newBuilder().setAfterSequence(7).build());
            CompletableFuture<Boolean> more = CompletableFuture.supplyAsync(follower::hasNext);
            core.requested.await();
            follower.stop();
            assertFalse(more.get());
            assertFalse(follower.hasNext());
            assertEquals(7, follower.nextAfter());
            assertThrows(NoSuchElementException.class, follower::next);
        }
    }

    @Test
    void aFollowerGoesOnAfterWhatItReadAndAfterFailures() {
        List<Long> asked = new ArrayList<>();
        Follower follower =
                new Follower(
                        ListEventsRequest.newBuilder().setAfterSequence(3).build(),
                        request -> {
                            asked.add(request.getAfterSequence());
                            return asked.size() == 2
                                    ? CompletableFuture.failedFuture(
                                            new TriggersException(Code.UNAVAILABLE, "TEST", "no"))
                                    : CompletableFuture.completedFuture(
                                            logAfter(request.getAfterSequence()));
                        });
        assertEquals(4, follower.next().getSequence());
        assertEquals(4, follower.nextAfter());
        assertEquals(5, follower.next().getSequence());
        assertEquals(9, follower.nextAfter());
        assertEquals(
                Code.UNAVAILABLE, assertThrows(TriggersException.class, follower::next).code());
        assertEquals(10, follower.next().getSequence());
        assertEquals(List.of(3L, 9L, 9L), asked);
    }

    private static ListEventsResponse logAfter(long after) {
        return ListEventsResponse.newBuilder()
                .addEvents(Event.newBuilder().setSequence(after + 1))
                .addEvents(Event.newBuilder().setSequence(after + 2))
                .setNextAfter(after + 6)
                .build();
    }

    @Test
    void aConnectionOnWhichNothingComesBackIsGivenUp() throws Exception {
        try (SilentCore core = new SilentCore();
                TriggersClient client = TriggersClient.open(core.url())) {
            TriggersClient hasty = client.withTimeout(Duration.ofMillis(1200));
            assertEquals("DEADLINE_EXCEEDED", failure(hasty.healthAsync()).reason());
            assertTrue(core.reconnected.await(10, TimeUnit.SECONDS));
        }
    }

    @Test
    void whatHangsOnAFutureMayBlock() throws Exception {
        try (TriggersClient client =
                TriggersClient.builder()
                        .urls("tcp://127.0.0.1:1")
                        .timeout(Duration.ofMillis(100))
                        .open()) {
            CompletableFuture<String> second =
                    client.healthAsync()
                            .handle(
                                    (response, error) ->
                                            assertThrows(TriggersException.class, client::health)
                                                    .reason());
            assertEquals("CORE_UNREACHABLE", second.get(10, TimeUnit.SECONDS));
        }
    }

    @Test
    void addressesAreChecked() {
        for (String url :
                new String[] {"", "http://a/", "ws://", "tcp://a", "ws://a:0/rpc", "ws://a,"}) {
            assertThrows(IllegalArgumentException.class, () -> TriggersClient.open(url), url);
        }
        IllegalArgumentException secret =
                assertThrows(
                        IllegalArgumentException.class,
                        () -> TriggersClient.open("ws://me:secret@a/rpc"));
        assertFalse(secret.getMessage().contains("secret"));
    }

    @Test
    void settingsAreChecked() {
        TriggersClient.Builder builder = TriggersClient.builder();
        assertThrows(IllegalArgumentException.class, () -> builder.timeout(Duration.ZERO));
        builder.caFile(Path.of("/nowhere.pem"));
        assertThrows(IllegalArgumentException.class, builder::open);
        assertThrows(
                IllegalArgumentException.class,
                () -> TriggersClient.event("s", "t", "{\"a\":\"\ud800\"}"));
    }

    @Test
    void anyCallTakesTheMethodsMessagesAlone() {
        String check = "triggers.health.v1.Health/Check";
        HealthCheckRequest request = HealthCheckRequest.getDefaultInstance();
        Parser<HealthCheckResponse> response = HealthCheckResponse.parser();
        try (TriggersClient client = TriggersClient.open("tcp://127.0.0.1:1")) {
            List<Executable> wrong =
                    List.of(
                            () -> client.call("triggers.health.v1.Health.Check", request, response),
                            () -> client.call("", request, response),
                            () ->
                                    client.call(
                                            check,
                                            HealthCheckResponse.newBuilder().build(),
                                            response),
                            () -> client.call(check, request, HealthCheckRequest.parser()),
                            () -> client.callAsync(check, request, GetEventResponse.parser()));
            wrong.forEach(each -> assertThrows(IllegalArgumentException.class, each));
            assertThrows(NullPointerException.class, () -> client.call(check, null, response));
        }
    }

    @Test
    void optionsOfMethodsAreRead() {
        Method get =
                Method.of(
                        "triggers.v1.EventService/GetEvent",
                        GetEventRequest.getDefaultInstance(),
                        GetEventResponse.parser());
        assertTrue(get.repeatable());
    }

    private static Dispatcher dispatcher(SilentCore core) {
        List<URI> addresses = List.of(URI.create(core.url()));
        return new Dispatcher(addresses, HttpClient.newHttpClient(), Runnable::run);
    }

    private static CompletableFuture<HealthCheckResponse> check(
            Dispatcher dispatcher, Method method) {
        return new Call<>(
                        dispatcher,
                        false,
                        Map::of,
                        method,
                        HealthCheckRequest.getDefaultInstance(),
                        HealthCheckResponse::parseFrom,
                        TimeUnit.SECONDS.toNanos(20))
                .start();
    }

    @Test
    void whatMayNotBeRepeatedEndsWithItsConnection() throws Exception {
        try (SilentCore core = new RudeCore()) {
            Dispatcher dispatcher = dispatcher(core);
            Method once = new Method("triggers.health.v1.Health/Check", false);
            TriggersException error = failure(check(dispatcher, once));
            assertEquals("CONNECTION_LOST", error.reason());
            assertEquals(Code.UNAVAILABLE, error.code());
            dispatcher.close();
        }
    }

    /** Answers every call with {} and keeps what each said of its key. */
    private static final class KeyCore extends SilentCore {
        final List<String> keys = Collections.synchronizedList(new ArrayList<>());

        KeyCore() throws IOException {}

        @Override
        void serve(Socket peer) throws IOException {
            DataInputStream in = new DataInputStream(peer.getInputStream());
            DataOutputStream out = new DataOutputStream(peer.getOutputStream());
            in.readNBytes(REPLIER.length);
            while (true) {
                byte[] message = in.readNBytes((int) in.readLong());
                ByteBuffer body = ByteBuffer.wrap(message, Integer.BYTES, message.length - 4);
                Request request = Request.parseFrom(body);
                keys.add(request.getMetadataMap().get("authorization"));
                out.writeLong(Integer.BYTES); // an empty response is OK
                out.write(message, 0, Integer.BYTES);
            }
        }
    }

    private static final String KEY = "trg_0123456789ab_" + "k".repeat(49);

    @Test
    void aKeyGoesWithEachCallAndIsNotShown() throws Exception {
        TriggersClient.Builder builder = TriggersClient.builder().apiKey(KEY);
        try (KeyCore core = new KeyCore();
                TriggersClient client = builder.urls(core.url()).open()) {
            client.health();
            client.withMetadata("authorization", "another").healthAsync().get();
            assertEquals(List.of("Bearer " + KEY, "Bearer " + KEY), core.keys);
            assertFalse((builder + " " + client).contains(KEY));
        }
    }

    @Test
    void aSupplierIsAskedForTheKeyOfEachCall() throws Exception {
        AtomicInteger calls = new AtomicInteger();
        TriggersClient.Builder builder =
                TriggersClient.builder().apiKey(() -> "key-" + calls.incrementAndGet());
        try (KeyCore core = new KeyCore();
                TriggersClient client = builder.urls(core.url()).open()) {
            client.health();
            client.withTimeout(Duration.ofSeconds(20)).healthAsync().get();
            assertEquals(List.of("Bearer key-1", "Bearer key-2"), core.keys);
        }
    }

    @Test
    void whatIsNoKeyIsRefusedAndNotShown() throws Exception {
        TriggersClient.Builder builder = TriggersClient.builder();
        assertThrows(NullPointerException.class, () -> builder.apiKey((String) null));
        for (String text : new String[] {"", KEY + "\n", "ключ"}) {
            IllegalArgumentException refused =
                    assertThrows(IllegalArgumentException.class, () -> builder.apiKey(text));
            assertFalse(refused.getMessage().contains(KEY));
            try (KeyCore core = new KeyCore();
                    TriggersClient client = builder.urls(core.url()).apiKey(() -> text).open()) {
                TriggersException error = failure(client.healthAsync());
                assertEquals("API_KEY_INVALID", error.reason());
                assertFalse(error.toString().contains(KEY));
                assertEquals(List.of(), core.keys);
            }
        }
    }

    @Test
    void aSupplierThatThrowsFailsTheCall() throws Exception {
        IllegalStateException cause = new IllegalStateException(KEY);
        Supplier<String> broken =
                () -> {
                    throw cause;
                };
        try (KeyCore core = new KeyCore();
                TriggersClient client =
                        TriggersClient.builder().urls(core.url()).apiKey(broken).open()) {
            TriggersException error = assertThrows(TriggersException.class, client::health);
            assertEquals(Code.UNAUTHENTICATED, error.code());
            assertEquals("KEY_UNAVAILABLE", error.reason());
            assertSame(cause, error.getCause());
            assertEquals(error.code(), failure(client.healthAsync()).code());
            assertEquals(List.of(), core.keys);
        }
    }
}
