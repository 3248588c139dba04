// Working on a subscription's events: pulls no more than there are handlers free, keeps their leases, and
// settles what they have done.
import type { DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { checkCount, checkText, MAX_WAIT_MS } from "./arguments.js";
import { Backoff } from "./backoff.js";
import { malformedAnswer, TriggersError } from "./errors.js";
import { newEventId } from "./eventid.js";
import { Gatherer } from "./gatherer.js";
import { Code } from "./gen/triggers/rpc/v1/envelope_pb.js";
import type { Event } from "./gen/triggers/v1/events_pb.js";
import { SubscriptionService, type Delivery as Given, type SettleResult } from "./gen/triggers/v1/subscriptions_pb.js";

const SAME_PULL_MS = 60_000; // in which a pull that is sent again gets the same events
const AT_ONCE_MS = 500; // an empty answer that came within was not waited for
const REST_MS = 1000;
const MAX_REASON = 1000; // characters
const MAX_CONCURRENCY = 1000;
const MAX_LEASE_SECONDS = 43_200;
const service = SubscriptionService.method;

/** An event that was given to a worker, for a time. */
export interface Delivery {
  readonly event: Event;
  /** How often the event was given out, this time included. */
  readonly attempt: number;
  readonly ackId: string;
  /** Aborted when the lease is lost: somebody else may have the event, and what becomes of it here will not count. */
  readonly signal: AbortSignal;
}

export interface WorkerOptions {
  /** Handlers at once, 1 to 1000; 1 when absent. */
  concurrency?: number;
  /** After how long an event comes again when this program has vanished; the subscription's own when absent. */
  leaseSeconds?: number;
  /** Told of calls that failed and are made again, and of outcomes that could not be stored. */
  onError?: (error: TriggersError) => void;
}

/** What a worker needs of a client. @internal */
export interface Caller {
  readonly timeoutMs: number;
  call: <M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    options: { timeoutMs: number },
  ) => Promise<MessageShape<M["output"]>>;
}

type Checked = Given & { event: Event };

type PullRequest = MessageInitShape<typeof service.pull.input> & { pullId: string };

interface Pulled {
  deliveries: Checked[];
  again: boolean; // the pull was sent more than once
}

/**
 * Hands the events of a subscription to a handler. An event is acknowledged when its handler resolves, and comes again
 * later when it rejects. It begins when it is made.
 */
export class Worker {
  readonly #caller: Caller;
  readonly #name: string;
  readonly #handler: (delivery: Delivery) => unknown;
  readonly #onError: (error: TriggersError) => void;
  readonly #gatherers = new Map<string, Gatherer>();
  readonly #tasks = new Set<Promise<void>>(); // one for each delivery until it is settled
  readonly #stop = new AbortController();
  #leaseSeconds: number; // 0: not known yet
  #free: number;
  #wake: () => void = () => undefined; // has whoever pulls look again

  /** Resolves when it has stopped and all is settled; rejects when a call failed for good. */
  readonly done: Promise<void>;

  /** @internal */
  constructor(caller: Caller, name: string, handler: (delivery: Delivery) => unknown, options: WorkerOptions) {
    const { concurrency = 1, leaseSeconds, onError } = options;
    this.#caller = caller;
    this.#name = checkText("subscription", name);
    this.#handler = handler;
    this.#free = checkCount("concurrency", concurrency, MAX_CONCURRENCY);
    this.#leaseSeconds =
      leaseSeconds === undefined ? 0 : checkCount("leaseSeconds", leaseSeconds, MAX_LEASE_SECONDS);
    this.#onError = onError ?? ((): void => undefined);
    this.done = this.#run();
    this.done.catch(() => undefined); // whoever waits is told
  }

  /** Begins nothing more, releases what a pull may still get, and finishes what runs; `done` as above. */
  stop(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    return this.done;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #run(): Promise<void> {
    try {
      await this.#pullAll();
    } finally {
      this.#stop.abort();
      while (this.#tasks.size > 0) {
        await Promise.all(this.#tasks);
      }
    }
  }

  // ---- pull ----

  get #stopping(): boolean {
    return this.#stop.signal.aborted;
  }

  async #pullAll(): Promise<void> {
    while (await this.#hasFree()) {
      this.#begin(await this.#pull());
    }
  }

  /** Waits until a handler is free; false after stop. */
  async #hasFree(): Promise<boolean> {
    while (!this.#stopping && this.#free === 0) {
      await this.#woken();
    }
    return !this.#stopping;
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** What there is for the handlers that are free; nothing after stop, when it is released. */
  async #pull(): Promise<Pulled> {
    const backoff = new Backoff();
    let [request, since] = [this.#newPull(), -Infinity];
    while (!this.#stopping) {
      try {
        this.#leaseSeconds ||= await this.#readLease();
        const sent = performance.now();
        const again = sent - since < SAME_PULL_MS;
        if (!again) {
          [request, since] = [this.#newPull(), sent];
        }
        const deliveries = await this.#ask(request);
        if (deliveries) {
          if (deliveries.length === 0 && performance.now() - sent < AT_ONCE_MS) {
            await pause(REST_MS, this.#stop.signal);
          }
          return { deliveries, again };
        }
      } catch (error) {
        if (!(error instanceof TriggersError) || !error.retryable) {
          throw error;
        }
        this.#onError(error);
        await pause(Math.max(backoff.nextMs(), error.retryDelayMs), this.#stop.signal);
      }
    }
    if (since >= 0) {
      await this.#release(request.pullId);
    }
    return { deliveries: [], again: false };
  }

  #newPull(): PullRequest {
    return {
      name: this.#name,
      maxEvents: this.#free,
      leaseSeconds: this.#leaseSeconds,
      waitMs: MAX_WAIT_MS,
      pullId: newEventId(),
    };
  }

  /** What a pull brings; undefined after stop, and then what it brings all the same is released. */
  async #ask(request: PullRequest): Promise<Checked[] | undefined> {
    const timeoutMs = this.#caller.timeoutMs + MAX_WAIT_MS;
    const call = this.#caller.call(service.pull, request, { timeoutMs });
    if (await this.#isAnswered(call)) {
      return (await call).deliveries.map(checkDelivery);
    }
    const release = ({ deliveries }: { deliveries: unknown[] }): unknown =>
      deliveries.length > 0 ? this.#release(request.pullId) : undefined;
    call.then(release, () => undefined);
    return undefined;
  }

  /** False after stop, whether there is an answer or not. */
  async #isAnswered(call: Promise<unknown>): Promise<boolean> {
    const state = { ended: false };
    const end = (): void => {
      state.ended = true;
      this.#wake();
    };
    call.then(end, end);
    while (!state.ended && !this.#stopping) {
      await this.#woken();
    }
    return !this.#stopping;
  }

  /** 0 after stop. */
  async #readLease(): Promise<number> {
    const { timeoutMs } = this.#caller;
    const call = this.#caller.call(service.getSubscription, { name: this.#name }, { timeoutMs });
    if (!(await this.#isAnswered(call))) {
      return 0;
    }
    const { subscription } = await call;
    if (!subscription?.leaseSeconds) {
      throw malformedAnswer("lacks the subscription's lease");
    }
    return subscription.leaseSeconds;
  }

  /** Ends a pull that waits, and gives back what it got. */
  async #release(pullId: string): Promise<void> {
    const { timeoutMs } = this.#caller;
    await this.#caller
      .call(service.release, { name: this.#name, pullId }, { timeoutMs })
      .catch((error: unknown) => {
        this.#onError(error as TriggersError);
      });
  }

  // ---- handle ----

  #begin({ deliveries, again }: Pulled): void {
    for (const delivery of deliveries) {
      this.#free--;
      const task = this.#work(delivery, again).finally(() => this.#tasks.delete(task));
      this.#tasks.add(task);
    }
  }

  /** Handles a delivery and settles it. How old a lease is whose pull was sent again is not known: it is extended. */
  async #work({ event, ackId, deliveryAttempt }: Checked, again: boolean): Promise<void> {
    const lost = new AbortController();
    const keeper = new AbortController();
    void this.#keep(ackId, lost, keeper.signal, again ? 0 : this.#leaseSeconds * 1000 / 3);
    const delivery = { event, ackId, attempt: deliveryAttempt, signal: lost.signal };
    const failure = await failureOf(() => this.#handler(delivery));
    keeper.abort();
    this.#free++;
    this.#wake();
    if (!lost.signal.aborted) {
      const gatherer = failure === undefined ? this.#gatherer("ack") : this.#gatherer("nack", failure);
      this.#tell(await gatherer.settle(ackId));
    }
  }

  /** Extends a lease until its handler has ended, which is told when it is lost. */
  async #keep(ackId: string, lost: AbortController, ended: AbortSignal, firstMs: number): Promise<void> {
    const hasEnded = (): boolean => ended.aborted;
    for (let waitMs = firstMs; ; waitMs = this.#leaseSeconds * 1000 / 3) {
      await pause(waitMs, ended);
      const error = hasEnded() ? undefined : await this.#gatherer("extend").settle(ackId);
      if (hasEnded()) {
        return;
      }
      this.#tell(error);
      if (error && (!error.retryable || error.reason === "LEASE_LOST")) {
        if (error.reason !== "LEASE_TOO_LONG" && error.code !== Code.CANCELLED) {
          lost.abort(error);
        }
        return;
      }
    }
  }

  /** Failures with the same reason go together. */
  #gatherer(method: "ack" | "nack" | "extend", reason = ""): Gatherer {
    const key = `${method} ${reason}`;
    let gatherer = this.#gatherers.get(key);
    if (!gatherer) {
      if (this.#gatherers.size > MAX_CONCURRENCY) {
        this.#gatherers.clear(); // whoever waits in one has it
      }
      gatherer = new Gatherer((ackIds) => this.#settle(method, ackIds, reason));
      this.#gatherers.set(key, gatherer);
    }
    return gatherer;
  }

  async #settle(
    method: "ack" | "nack" | "extend",
    ackIds: string[],
    reason: string,
  ): Promise<readonly SettleResult[]> {
    const request = { name: this.#name, ackIds, reason, leaseSeconds: this.#leaseSeconds };
    const timeoutMs = Math.max(this.#caller.timeoutMs, this.#leaseSeconds * 1000);
    const { results } = await this.#caller.call(service[method], request, { timeoutMs });
    if (results.length !== ackIds.length) {
      throw malformedAnswer(`has ${String(results.length)} results for ${String(ackIds.length)} ack ids`);
    }
    return results;
  }

  #tell(error: TriggersError | undefined): void {
    if (error) {
      this.#onError(error);
    }
  }
}

function checkDelivery(given: Given): Checked {
  const { event } = given;
  if (!event || !given.ackId) {
    throw malformedAnswer("has a delivery without an event or ack id");
  }
  return { ...given, event };
}

/** Why a handler failed, undefined when it did not. */
async function failureOf(handle: () => unknown): Promise<string | undefined> {
  try {
    await handle();
    return undefined;
  } catch (failure) {
    const text = failure instanceof Error ? failure.message || failure.name : String(failure);
    return Array.from(text.toWellFormed()).slice(0, MAX_REASON).join("") || "failed";
  }
}

/** Waits, but not after the signal. */
function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });
}
