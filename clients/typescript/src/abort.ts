// One listener for each signal, however many calls it may end: Node warns when a signal has many.

const followers = new WeakMap<AbortSignal, Set<() => void>>();

function onAbort({ target }: { target: EventTarget | null }): void {
  for (const run of followers.get(target as AbortSignal) ?? []) {
    run();
  }
}

/** Has `run` called when the signal is aborted, until `unfollow`. */
export function follow(signal: AbortSignal, run: () => void): void {
  let runs = followers.get(signal);
  if (!runs) {
    runs = new Set();
    followers.set(signal, runs);
    signal.addEventListener("abort", onAbort);
  }
  runs.add(run);
}

export function unfollow(signal: AbortSignal, run: () => void): void {
  const runs = followers.get(signal);
  runs?.delete(run);
  if (runs?.size === 0) {
    followers.delete(signal);
    signal.removeEventListener("abort", onAbort);
  }
}
