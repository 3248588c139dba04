package triggers.client;

import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;

/** One connection from its dialling to its loss, and the calls that wait for answers on it. */
final class Connection implements Wire.Listener {
    private final Dialer dialer;
    private final Map<Integer, Call<?>> calls = new ConcurrentHashMap<>();
    private final AtomicBoolean lost = new AtomicBoolean();
    private volatile Wire wire;
    private volatile long heardAt = System.nanoTime();
    private volatile boolean answered;

    Connection(Dialer dialer) {
        this.dialer = dialer;
    }

    /** Whether anything came back, so that it is worth dialling again soon. */
    boolean hasAnswered() {
        return answered;
    }

    /** When a message last came, as System.nanoTime. */
    long heardAt() {
        return heardAt;
    }

    /**
     * Sends the envelope that lies behind four bytes for the id. False: the connection is lost and
     * nobody else will send the call again.
     */
    boolean send(Call<?> call, int id, byte[] message) {
        ByteBuffer.wrap(message).putInt(id);
        calls.put(id, call);
        // Whoever takes the call out of the map sees to it: this thread or the one in lost().
        if (lost.get()) {
            return calls.remove(id) == null;
        }
        wire.send(message);
        return true;
    }

    /** The call waits no more. */
    void forget(int id) {
        calls.remove(id);
    }

    @Override
    public void opened(Wire opened) {
        wire = opened;
        dialer.connected(this);
        if (lost.get()) {
            opened.close(); // lost() may have found no wire to close
        }
    }

    @Override
    public void received(ByteBuffer message) {
        if (message.remaining() < Integer.BYTES) {
            return; // not SP; the calls have their deadlines
        }
        heardAt = System.nanoTime();
        answered = true;
        Call<?> call = calls.remove(message.getInt());
        if (call != null) {
            call.answered(message);
        }
    }

    @Override
    public void lost(Throwable why) {
        if (!lost.compareAndSet(false, true)) {
            return;
        }
        if (wire != null) {
            wire.close();
        }
        dialer.lost(this, why);
        for (Integer id : calls.keySet()) {
            Call<?> call = calls.remove(id);
            if (call != null) {
                call.lost();
            }
        }
    }
}
