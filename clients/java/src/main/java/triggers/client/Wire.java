package triggers.client;

import java.nio.ByteBuffer;

/** A transport that carries whole SP messages to one core and back. */
interface Wire {
    /**
     * The largest message taken from a core: a page of 8 MiB of payloads and what belongs to them.
     */
    int MAX_MESSAGE = 16 << 20;

    /** Queues a message; never blocks, never throws. What cannot be sent is reported as lost. */
    void send(byte[] message);

    /** Ends it at once; may be called again. */
    void close();

    /** What a wire reports, one call at a time but for {@code lost}. */
    interface Listener {
        void opened(Wire wire);

        /** The message is the listener's until it returns. */
        void received(ByteBuffer message);

        /** It could not be opened, or is no more. May be called again. */
        void lost(Throwable why);
    }
}
