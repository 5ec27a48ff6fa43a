// Lets a busy worker hear its messages.

/** The longest time in milliseconds that messages wait. */
const INTERVAL = 10;

/** Gives way to waiting messages, now and then: a turn of the event loop costs more than asking the clock. */
export class Breather {
  readonly #channel = new MessageChannel();
  #last = performance.now();

  async breathe(): Promise<void> {
    if (performance.now() - this.#last >= INTERVAL) await this.pause();
  }

  /** Gives way now. */
  async pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#channel.port1.onmessage = () => resolve();
      this.#channel.port2.postMessage(undefined);
    });
    this.#last = performance.now();
  }
}
