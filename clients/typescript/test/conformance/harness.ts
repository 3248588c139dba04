// The lines of JSON between the runner and its harness.
import { createInterface } from "node:readline";

export class Harness {
  readonly #input = createInterface({ input: process.stdin });
  readonly #lines = this.#input[Symbol.asyncIterator]();

  tell(line: object): void {
    process.stdout.write(JSON.stringify(line) + "\n");
  }

  /** Has the harness do something. Throws when that failed. */
  async act(wish: unknown): Promise<void> {
    this.tell({ harness: wish });
    const next: IteratorResult<string, undefined> = await this.#lines.next();
    if (next.done) {
      throw new Error("the harness is gone");
    }
    const answer = JSON.parse(next.value) as { ok: boolean; detail?: string };
    if (!answer.ok) {
      throw new Error(answer.detail ?? "the harness failed");
    }
  }

  close(): void {
    this.#input.close();
  }
}
