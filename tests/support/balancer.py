"""A load balancer that ends TLS and passes the bytes on, as the internal one of deploy/aws does."""

import asyncio
import contextlib
import ssl
import threading

from support.network import free_port


async def pass_on(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # the peer is gone
    finally:
        writer.close()


@contextlib.contextmanager
def tls_balancer(target, certificate, key):
    """The port whose TLS connections reach the port `target` without TLS, while this is entered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop, port = asyncio.new_event_loop(), free_port()

    async def serve(reader, writer):
        core_reader, core_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pass_on(reader, core_writer), pass_on(core_reader, writer))

    loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", port, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
