// Notices an engine that owes an answer and gives no sign of life. Slow is not hung: what is allowed grows with how slow it is.

/** Seconds of silence that are allowed where nothing is known of the engine's speed, or where it prepares itself. */
export const UNKNOWN = 120;

/** Seconds that are allowed in any case. */
export const LEAST = 30;

/** So many times the longest silence that ended well is allowed: a burst is up to 16 times as long as the one before it. */
export const TIMES = 32;

/** Seconds that are never exceeded by what was learnt: a debugger's halt teaches nonsense. */
export const MOST = 600;

/** Counts seconds without a sign. They are ticks of a timer, as a computer that sleeps, or a tab that is frozen, does not tick. */
export class Watchdog {
  readonly #onSilence: (seconds: number) => void;
  #timer: ReturnType<typeof setInterval> | undefined;
  #ticks = 0;
  #last = 0;
  /** In seconds; `undefined` before the first sign. */
  #longest: number | undefined;
  /** What is done now takes as long as it takes: this many seconds are allowed. */
  #excused: number | undefined;

  /** `onSilence` is told once, after how many seconds. */
  constructor(onSilence: (seconds: number) => void) {
    this.#onSilence = onSilence;
  }

  /** Seconds of silence that are allowed now. */
  get limit(): number {
    return this.#excused ?? this.#learnt();
  }

  /** An answer is owed from now on. */
  begin(): void {
    if (this.#timer !== undefined) return;
    this.#rest();
    this.#timer = setInterval(() => this.#tick(), 1000);
  }

  /** No answer is owed any more. */
  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#excused = undefined;
  }

  /** A sign of life. */
  sign(): void {
    // Only silences that are like others tell of the speed.
    if (this.#timer !== undefined && this.#excused === undefined) {
      const silence = (performance.now() - this.#last) / 1000;
      this.#longest = Math.max(this.#longest ?? 0, silence);
    }
    this.#excused = undefined;
    this.#rest();
  }

  /** Until the next sign, `seconds` of silence are allowed, and tell nothing of the speed. */
  excuse(seconds: number): void {
    this.#excused = seconds;
    this.#rest();
  }

  #learnt(): number {
    if (this.#longest === undefined) return UNKNOWN;
    return Math.min(MOST, Math.max(LEAST, TIMES * this.#longest));
  }

  #rest(): void {
    this.#ticks = 0;
    this.#last = performance.now();
  }

  #tick(): void {
    this.#ticks += 1;
    if (this.#ticks < this.limit) return;
    const seconds = this.#ticks;
    this.end();
    this.#onSilence(seconds);
  }
}
