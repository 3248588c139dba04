// A core in this process that answers as a test says. The framing itself is tested against nng, by the
// conformance scenarios.
import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocketServer, type WebSocket } from "ws";
import { RequestSchema, ResponseSchema, type Request } from "../src/gen/triggers/rpc/v1/envelope_pb.js";

type Reply = MessageInitShape<typeof ResponseSchema>;

/** The envelope to answer with, or null for none. */
export type Answer = (request: Request, socket: WebSocket) => Reply | null | Promise<Reply>;

export class ScriptedCore {
  readonly requests: Request[] = [];
  dials = 0;
  readonly #server: WebSocketServer;

  private constructor(server: WebSocketServer, answer: Answer) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.dials++;
      socket.on("message", (message: Buffer) => {
        const request = fromBinary(RequestSchema, message.subarray(4));
        this.requests.push(request);
        const send = (reply: Reply): void => {
          const envelope = toBinary(ResponseSchema, create(ResponseSchema, reply));
          socket.send(Buffer.concat([message.subarray(0, 4), envelope]));
        };
        const reply = answer(request, socket);
        if (reply instanceof Promise) {
          void reply.then(send);
        } else if (reply) {
          send(reply);
        }
      });
    });
  }

  static async start(answer: Answer): Promise<ScriptedCore> {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    const core = new ScriptedCore(server, answer);
    await once(server, "listening");
    return core;
  }

  get url(): string {
    return `ws://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}/rpc`;
  }

  stop(): void {
    for (const socket of this.#server.clients) {
      socket.terminate();
    }
    this.#server.close();
  }
}

export function ok<D extends DescMessage>(schema: D, body: MessageInitShape<D>): { body: Uint8Array } {
  return { body: toBinary(schema, create(schema, body)) };
}
