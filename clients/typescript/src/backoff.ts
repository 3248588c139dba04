// Jittered waits between tries.

const FIRST_MS = 50;
const LAST_MS = 2000;

/** Waits that double from 50 ms to 2 s, each drawn evenly from the upper half of that. */
export class Backoff {
  #next = FIRST_MS;

  nextMs(): number {
    const most = this.#next;
    this.#next = Math.min(most * 2, LAST_MS);
    return most / 2 + (Math.random() * most) / 2;
  }

  reset(): void {
    this.#next = FIRST_MS;
  }
}
