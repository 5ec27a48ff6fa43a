// How far a load is, how fast, and how long it will go on.
import type { Progress } from "../mar/types";

/** The rate is that of the last so many milliseconds. */
const SPAN = 4000;

/** Between two reports of bytes that are not checked yet, in milliseconds. */
const REPORT_EVERY = 100;

/** Counts bytes, and reports now and then. */
export class Meter {
  readonly #total: number;
  readonly #report: (progress: Progress) => void;
  readonly #clock: () => number;
  /** Bytes from the network so far, by time. */
  readonly #samples: [time: number, bytes: number][];
  #network = 0;
  #received = 0;
  #verified = 0;
  #stored = 0;
  #paused = false;
  #reported = Number.NEGATIVE_INFINITY;

  constructor(total: number, report: (progress: Progress) => void, clock = () => performance.now()) {
    this.#total = total;
    this.#report = report;
    this.#clock = clock;
    this.#samples = [[clock(), 0]];
    this.#tell(true);
  }

  /** Bytes have come from the network, or some of these were of no use: then fewer than none. */
  came(bytes: number): void {
    this.#network += Math.max(bytes, 0);
    this.#received += bytes;
    this.#tell(false);
  }

  /** Bytes that had come are what the manifest says. */
  checked(bytes: number): void {
    this.#verified += bytes;
    this.#tell(true);
  }

  /** Bytes were in the browser's storage, and are what the manifest says. */
  found(bytes: number): void {
    this.#received += bytes;
    this.#verified += bytes;
    this.#stored += bytes;
    this.#tell(true);
  }

  /** Whether the person has paused it. */
  set paused(paused: boolean) {
    this.#paused = paused;
    // The time that passed meanwhile says nothing on the network.
    this.#samples.splice(0, this.#samples.length, [this.#clock(), this.#network]);
    this.#tell(true);
  }

  /** Reports what is so now: also that nothing comes, or that all is there. */
  tick(): void {
    this.#tell(true);
  }

  #tell(now: boolean): void {
    const time = this.#clock();
    if (!now && time - this.#reported < REPORT_EVERY) return;
    this.#reported = time;
    this.#samples.push([time, this.#network]);
    while (this.#samples.length > 2 && time - (this.#samples[1]?.[0] ?? time) >= SPAN) this.#samples.shift();
    const [since, before] = this.#samples[0] ?? [time, 0];
    const rate = time > since ? ((this.#network - before) * 1000) / (time - since) : 0;
    const left = this.#total - this.#received;
    this.#report({
      received: this.#received,
      total: this.#total,
      verified: this.#verified,
      stored: this.#stored,
      bytes_per_second: rate,
      seconds_left: left === 0 ? 0 : rate > 0 ? left / rate : null,
      paused: this.#paused,
    });
  }
}
