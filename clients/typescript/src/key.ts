// The key that calls carry. A closure has its text, so that nothing shows it.
import { checkKey, checkKeyOption } from "./arguments.js";
import { TriggersError } from "./errors.js";
import { Code } from "./gen/triggers/rpc/v1/envelope_pb.js";

/** A key, or a function that gives the current one and is called once for each call. */
export type ApiKey = string | (() => string | Promise<string>);

/** What goes into the metadata of one call. */
export type Authorize = () => Promise<{ authorization: string }>;

export function authorizeWith(apiKey: ApiKey): Authorize {
  checkKeyOption(apiKey);
  if (typeof apiKey === "string") {
    return () => Promise.resolve({ authorization: `Bearer ${apiKey}` });
  }
  return async () => ({ authorization: `Bearer ${checkKey(await supplied(apiKey))}` });
}

async function supplied(apiKey: () => string | Promise<string>): Promise<unknown> {
  try {
    return await apiKey();
  } catch (cause) {
    throw new TriggersError(Code.UNAUTHENTICATED, "KEY_UNAVAILABLE", "the function apiKey failed", [], 0, { cause });
  }
}
