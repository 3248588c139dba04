// The package in browsers, and wherever else WebSocket is global: ws and wss.
import { Client, type ClientOptions } from "./client.js";
import { invalidArgument } from "./errors.js";
import type { Dialler } from "./link.js";
import { SUB_PROTOCOL, webSocketLink } from "./websocket.js";

export * from "./api.js";

/** The browser decides which certificates to trust, so there is no `caFile`. */
export type TriggersClientOptions = ClientOptions;

const dialler: Dialler = (url) => {
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw invalidArgument("URL_INVALID", `${url.href} must start with ws:// or wss:// in a browser`);
  }
  return (events) => webSocketLink(new WebSocket(url, SUB_PROTOCOL), events);
};

/** A client of one or several cores; see {@link Client}. */
export class TriggersClient extends Client {
  constructor(options: TriggersClientOptions = {}) {
    super(options, dialler);
  }
}
