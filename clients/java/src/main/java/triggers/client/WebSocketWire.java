package triggers.client;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

/** SP over WebSocket: a binary message of WebSocket is a message of SP. */
final class WebSocketWire implements Wire {
    private static final String SUBPROTOCOL =
            "rep.sp.nanomsg.org"; // what the dialler's peer speaks
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);

    private final WebSocket socket;
    private final Listener listener;
    private final Queue<byte[]> queue = new ArrayDeque<>();
    private boolean sending; // as the JDK takes one message at a time

    private WebSocketWire(WebSocket socket, Listener listener) {
        this.socket = socket;
        this.listener = listener;
    }

    static void open(HttpClient http, URI uri, Listener listener) {
        http.newWebSocketBuilder()
                .subprotocols(SUBPROTOCOL)
                .connectTimeout(CONNECT_TIMEOUT)
                .buildAsync(uri, new Incoming(listener))
                .whenComplete(
                        (socket, error) -> {
                            if (error != null) {
                                listener.lost(error);
                            }
                        });
    }

    @Override
    public void send(byte[] message) {
        synchronized (queue) {
            queue.add(message);
            if (sending) {
                return;
            }
            sending = true;
        }
        sendQueued();
    }

    /** Sends until the queue is empty or the socket is busy. One thread at a time is in here. */
    private void sendQueued() {
        while (true) {
            byte[] message;
            synchronized (queue) {
                message = queue.poll();
                if (message == null) {
                    sending = false;
                    return;
                }
            }
            CompletableFuture<WebSocket> sent = socket.sendBinary(ByteBuffer.wrap(message), true);
            if (!sent.isDone()) {
                sent.whenComplete((done, error) -> afterSend(error));
                return;
            }
            if (sent.isCompletedExceptionally()) {
                sent.whenComplete((done, error) -> listener.lost(error));
                return;
            }
        }
    }

    private void afterSend(Throwable error) {
        if (error == null) {
            sendQueued();
        } else {
            listener.lost(error);
        }
    }

    @Override
    public void close() {
        socket.abort();
    }

    /** Puts the parts of a message together, each of which the JDK hands over as it arrives. */
    private static final class Incoming implements WebSocket.Listener {
        private final Wire.Listener listener;
        private ByteArrayOutputStream parts;

        Incoming(Wire.Listener listener) {
            this.listener = listener;
        }

        @Override
        public void onOpen(WebSocket socket) {
            listener.opened(new WebSocketWire(socket, listener));
            socket.request(Long.MAX_VALUE);
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
            if (parts == null && last) {
                listener.received(data);
                return null;
            }
            if (parts == null) {
                parts = new ByteArrayOutputStream();
            }
            if (parts.size() + data.remaining() > MAX_MESSAGE) {
                listener.lost(new IOException("the core sent more than " + MAX_MESSAGE + " bytes"));
                return null;
            }
            byte[] part = new byte[data.remaining()];
            data.get(part);
            parts.writeBytes(part);
            if (last) {
                ByteBuffer message = ByteBuffer.wrap(parts.toByteArray());
                parts = null;
                listener.received(message);
            }
            return null;
        }

        @Override
        public CompletionStage<?> onClose(WebSocket socket, int status, String reason) {
            listener.lost(new IOException("the core closed the connection"));
            return null;
        }

        @Override
        public void onError(WebSocket socket, Throwable error) {
            listener.lost(error);
        }
    }
}
