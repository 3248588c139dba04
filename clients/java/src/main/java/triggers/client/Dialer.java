package triggers.client;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocketHandshakeException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;

/** Keeps one address connected. */
final class Dialer {
    private final URI address;
    private final HttpClient http;
    private final Dispatcher dispatcher;
    // Used by the one connection that there is at a time.
    private final Backoff backoff =
            new Backoff(TimeUnit.MILLISECONDS.toNanos(50), TimeUnit.SECONDS.toNanos(1));
    private volatile Connection connection;

    Dialer(URI address, HttpClient http, Dispatcher dispatcher) {
        this.address = address;
        this.http = http;
        this.dispatcher = dispatcher;
    }

    void dial() {
        connection = new Connection(this);
        if (dispatcher.isClosed()) {
            return;
        }
        if (address.getScheme().equals("tcp")) {
            TcpWire.open(address.getHost(), address.getPort(), connection);
        } else {
            WebSocketWire.open(http, address, connection);
        }
    }

    void connected(Connection opened) {
        dispatcher.connected(opened);
    }

    void lost(Connection gone, Throwable why) {
        dispatcher.disconnected(gone, address + ": " + describe(why));
        if (gone.hasAnswered()) {
            backoff.reset();
        }
        dispatcher.later(this::dial, backoff.next());
    }

    private static String describe(Throwable why) {
        Throwable cause = why instanceof CompletionException ? why.getCause() : why;
        if (cause instanceof WebSocketHandshakeException refused) {
            return "HTTP status " + refused.getResponse().statusCode();
        }
        return cause.toString();
    }

    void close() {
        connection.lost(new IllegalStateException("the client was closed"));
    }
}
