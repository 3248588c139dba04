// The package in Node: ws, wss and tcp.
import { readFileSync } from "node:fs";
import { WebSocket, type ClientOptions as SocketOptions } from "ws";
import { Client, type ClientOptions } from "./client.js";
import { invalidArgument } from "./errors.js";
import { type Dial, type Dialler, MAX_ANSWER } from "./link.js";
import { tcpLink } from "./tcp.js";
import { SUB_PROTOCOL, webSocketLink } from "./websocket.js";

export * from "./api.js";

export interface TriggersClientOptions extends ClientOptions {
  /** A file of the PEM certificates to trust, for wss; without it those that Node trusts. */
  caFile?: string;
}

function nodeDialler(caFile?: string): Dialler {
  const socketOptions: SocketOptions = { perMessageDeflate: false, maxPayload: MAX_ANSWER };
  if (caFile !== undefined) {
    socketOptions.ca = readCertificates(caFile);
  }
  return (url) => {
    switch (url.protocol) {
      case "ws:":
      case "wss:":
        return webSocketDial(url, socketOptions);
      case "tcp:":
        if (!url.port) {
          throw invalidArgument("URL_INVALID", `${url.href} has no port`);
        }
        return (events) => tcpLink(url, events);
      default:
        throw invalidArgument("URL_INVALID", `${url.href} must start with ws://, wss:// or tcp://`);
    }
  };
}

/** nng that listens on an IP address answers 404 to any Host but that: then the next dial says the peer's. */
function webSocketDial(url: URL, socketOptions: SocketOptions): Dial {
  let headers = {};
  return (events) => {
    const socket = new WebSocket(url, SUB_PROTOCOL, { ...socketOptions, headers });
    socket.on("unexpected-response", (_, { statusCode, socket: { remoteAddress, remoteFamily, remotePort } }) => {
      if (statusCode === 404 && remoteAddress !== undefined) {
        const host = remoteFamily === "IPv6" ? `[${remoteAddress}]` : remoteAddress;
        headers = "Host" in headers ? {} : { Host: `${host}:${String(remotePort)}` };
      }
      socket.emit("error", new Error(`the WebSocket handshake was answered with ${String(statusCode)}`));
      socket.terminate();
    });
    return webSocketLink(socket, events);
  };
}

function readCertificates(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw invalidArgument("CA_FILE_INVALID", `the CA file cannot be read: ${String(cause)}`, { cause });
  }
}

/** A client of one or several cores; see {@link Client}. */
export class TriggersClient extends Client {
  constructor(options: TriggersClientOptions = {}) {
    super(options, nodeDialler(options.caFile));
  }
}
