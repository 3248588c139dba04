"""A TCP proxy on the loopback interface that does to its connections what networks do: delays, silence,
resets, cuts in the middle of a message, answers that never arrive."""

import socket
import struct
import threading
import time

from support.network import free_port

CHUNK = 65536


def close_with_reset(sock):
    """Closes so that the peer sees a reset, not an orderly end."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it
    except OSError:
        pass
    sock.close()


class Connection:
    """One connection through the proxy: `client` is who dialled, `server` who was reached."""

    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        self.server = None
        self.lost = False  # what is sent into it vanishes, and nobody learns
        self.notes = {}  # for the proxy's hook
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        self.proxy.flowing.wait()
        try:
            self.server = socket.create_connection(("127.0.0.1", self.proxy.target), 10)
            self.server.settimeout(None)
            for sock in (self.client, self.server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            self.reset()
            return
        back = threading.Thread(target=self._pump, args=(self.server, self.client, "down"))
        back.daemon = True
        back.start()
        self._pump(self.client, self.server, "up")
        back.join()
        self.proxy.forget(self)

    def _pump(self, source, sink, direction):
        try:
            while data := source.recv(CHUNK):
                self.proxy.flowing.wait()
                if self.proxy.delay:
                    time.sleep(self.proxy.delay)
                if self.lost:
                    continue
                hook = self.proxy.hook
                data = hook(self, direction, data) if hook else data
                if data:
                    sink.sendall(data)
            if not self.lost:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            if not self.lost:
                self.reset()

    def reset(self):
        """Tears the connection on both sides."""
        for sock in (self.client, self.server):
            if sock:
                close_with_reset(sock)
        self.proxy.forget(self)


class FaultProxy:
    """Passes connections to `port` on to the port `target`, until told otherwise.

    `delay`: seconds that each piece of data waits, in both directions.
    `hook(connection, direction, data)`: sees each piece ("up": from who dialled) and returns what is
    passed on; None or b"" is nothing."""

    def __init__(self, target):
        self.target = target
        self.port = free_port()
        self.delay = 0.0
        self.hook = None
        self.flowing = threading.Event()
        self.flowing.set()
        self.accepted = 0
        self._lock = threading.Lock()
        self._connections = set()
        self._listener = None
        self._fillers = []
        self.listen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.refuse()
        self.flowing.set()
        self.reset()

    def listen(self):
        """Takes connections, again after refuse() and ignore()."""
        if self._fillers:
            self.refuse()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self._connections.add(Connection(self, client))

    def forget(self, connection):
        with self._lock:
            self._connections.discard(connection)

    def connections(self):
        with self._lock:
            return list(self._connections)

    def refuse(self):
        """New connections are refused; standing ones stay."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        while self._fillers:
            close_with_reset(self._fillers.pop())

    def ignore(self):
        """Attempts to connect get no answer at all, as the kernel drops them: the listener's queue
        is full and nobody takes from it. listen() ends that."""
        self.refuse()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)

    def reset(self):
        """Tears every connection."""
        for connection in self.connections():
            connection.reset()

    def freeze(self):
        """A black hole: connections stand and new ones are accepted, but nothing passes. What was
        sent meanwhile arrives after thaw(), as TCP repeats it."""
        self.flowing.clear()

    def thaw(self):
        self.flowing.set()

    def lose(self):
        """Standing connections become half-open: they stay, and nothing passes ever again. New ones
        work."""
        for connection in self.connections():
            connection.lost = True
