package triggers.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import triggers.health.v1.HealthCheckResponse;
import triggers.rpc.v1.Code;

/** What the scenarios of clients/conformance cannot say; they test the rest against a core. */
@Timeout(30)
class TriggersClientTest {
    private static final byte[] REPLIER = {0, 'S', 'P', 0, 0, 0x31, 0, 0};

    /** A replier over TCP that takes requests and answers none. */
    private static final class SilentCore implements AutoCloseable {
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
                    read(peer.getInputStream());
                } catch (IOException e) {
                    // The client broke it off, or the test is over.
                }
                disconnected.countDown();
            }
        }

        private void read(InputStream in) throws IOException {
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
}
