// Figures that people read: they change ten times a second at most, however fast tokens come.

/** Milliseconds between two paintings. */
const LEAST = 100;

/** Paints in a frame of its own, soon after somebody asked, and not too often. */
export class Pace {
  readonly #paint: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #frame = 0;
  #last = Number.NEGATIVE_INFINITY;

  constructor(paint: () => void) {
    this.#paint = paint;
  }

  /** Asks for a painting. Any number of calls before it make one. */
  ask(): void {
    if (this.#timer !== undefined || this.#frame !== 0) return;
    const wait = LEAST - (performance.now() - this.#last);
    if (wait <= 0) this.#next();
    else this.#timer = setTimeout(() => this.#next(), wait);
  }

  /** Forgets what was asked. */
  dispose(): void {
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
  }

  #next(): void {
    this.#timer = undefined;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#last = performance.now();
      this.#paint();
    });
  }
}
