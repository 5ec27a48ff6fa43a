// Keeps an answer while it grows: what is shown is in the store a moment later, also when the page is hidden or closed.

/** Milliseconds between two writes. With the write itself, less than a second is lost when a tab dies. */
const EVERY = 500;

/** Writes what has changed, soon and never twice at once. */
export class Keeper {
  readonly #write: () => Promise<unknown>;
  #timer = 0;
  #last = 0;
  #writing: Promise<unknown> | undefined;
  #changed = false;

  constructor(write: () => Promise<unknown>) {
    this.#write = write;
    // A hidden page's timers sleep, and a closed one's are gone.
    for (const event of ["visibilitychange", "pagehide"]) {
      addEventListener(event, () => {
        if (this.#changed) void this.flush();
      });
    }
  }

  /** Something has changed. */
  touch(): void {
    this.#changed = true;
    if (this.#writing) return;
    const wait = this.#last + EVERY - performance.now();
    if (wait <= 0) void this.flush();
    else if (this.#timer === 0) this.#timer = window.setTimeout(() => void this.flush(), wait);
  }

  /** Writes what has changed now; returns once it is written. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = 0;
    // One that ends may begin the next.
    while (this.#writing) await this.#writing;
    if (!this.#changed) return;
    this.#changed = false;
    this.#last = performance.now();
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
      // It has grown meanwhile.
      if (this.#changed) this.touch();
    });
    await this.#writing;
  }
}
