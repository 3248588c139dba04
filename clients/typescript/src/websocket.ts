// SP over WebSocket: sub-protocol "rep.sp.nanomsg.org", one binary frame for one message.
import type { Link, LinkEvents } from "./link.js";

export const SUB_PROTOCOL = "rep.sp.nanomsg.org";

/** What the browsers' WebSocket and that of the package ws have in common. */
export interface WebSocketLike {
  binaryType: string;
  // What handlers are given differs; both have what is read here.
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(): void;
  /** Only ws has it: ends the connection without waiting for the peer. */
  terminate?(): void;
}

export function webSocketLink(socket: WebSocketLike, events: LinkEvents): Link {
  let error = "";
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    events.onOpen();
  };
  socket.onmessage = ({ data }: { data: unknown }) => {
    if (data instanceof ArrayBuffer) {
      events.onMessage(new Uint8Array(data));
    }
  };
  socket.onerror = ({ message }: { message?: string }) => {
    error ||= message ?? ""; // the first says the cause
  };
  socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
    events.onClose(error || reason || `closed with code ${String(code)}`);
  };
  return {
    send: (message) => {
      socket.send(message as Uint8Array<ArrayBuffer>);
    },
    close: () => {
      if (socket.terminate) {
        socket.terminate();
      } else {
        socket.close();
      }
    },
  };
}
