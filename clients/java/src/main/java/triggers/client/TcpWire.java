package triggers.client;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * SP over TCP: eight bytes from each side say who speaks, then every message follows its length,
 * which is a 64-bit big-endian number. One thread reads and one writes, so that a core that does
 * not read holds up no caller.
 */
final class TcpWire implements Wire {
    private static final byte[] REQ = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    private static final byte[] REP = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    private static final int CONNECT_TIMEOUT_MS = 5000;
    private static final int BUFFER = 64 << 10;
    private static final byte[] END = {};

    private final Socket socket = new Socket();
    private final Listener listener;
    private final BlockingQueue<byte[]> queue = new LinkedBlockingQueue<>();

    private TcpWire(Listener listener) {
        this.listener = listener;
    }

    static void open(String host, int port, Listener listener) {
        TcpWire wire = new TcpWire(listener);
        wire.start("triggers-read", () -> wire.connectAndRead(host, port));
    }

    private interface Work {
        void run() throws IOException, InterruptedException;
    }

    private void start(String name, Work work) {
        Thread thread =
                new Thread(
                        () -> {
                            try {
                                work.run();
                            } catch (IOException | InterruptedException e) {
                                close();
                                listener.lost(e);
                            }
                        },
                        name);
        thread.setDaemon(true);
        thread.start();
    }

    private void connectAndRead(String host, int port) throws IOException {
        // A core that accepts and then says nothing may be paused: the next try may find another.
        socket.setSoTimeout(CONNECT_TIMEOUT_MS);
        socket.setTcpNoDelay(true);
        socket.setKeepAlive(true);
        socket.connect(new InetSocketAddress(host, port), CONNECT_TIMEOUT_MS);
        socket.getOutputStream().write(REQ);
        DataInputStream in =
                new DataInputStream(new BufferedInputStream(socket.getInputStream(), BUFFER));
        byte[] peer = in.readNBytes(REP.length);
        if (!Arrays.equals(peer, REP)) {
            throw new IOException("the peer does not speak SP as a REP");
        }
        socket.setSoTimeout(0);
        start("triggers-write", this::write);
        listener.opened(this);
        while (true) {
            long length = in.readLong();
            if (length < 0 || length > MAX_MESSAGE) {
                throw new IOException("the core sent more than " + MAX_MESSAGE + " bytes");
            }
            listener.received(ByteBuffer.wrap(readFully(in, (int) length)));
        }
    }

    private static byte[] readFully(DataInputStream in, int length) throws IOException {
        byte[] message = new byte[length];
        in.readFully(message);
        return message;
    }

    private void write() throws IOException, InterruptedException {
        DataOutputStream out =
                new DataOutputStream(new BufferedOutputStream(socket.getOutputStream(), BUFFER));
        while (true) {
            byte[] message = queue.poll();
            if (message == null) {
                out.flush();
                message = queue.take();
            }
            if (message == END) {
                return;
            }
            out.writeLong(message.length);
            out.write(message);
        }
    }

    @Override
    public void send(byte[] message) {
        queue.add(message);
    }

    @Override
    public void close() {
        queue.add(END);
        try {
            socket.close();
        } catch (IOException e) {
            // Nothing is left to be done with it.
        }
    }
}
