// All of the tape in a strip: a bar of spikes for each token, the part that is seen, and a slider over it to go elsewhere.
import { make } from "../common/dom";
import { endOf, type Span } from "../common/span";
import { type Frame, Surface } from "../common/surface";
import { formatToken } from "../common/units";
import type { Tape } from "./tape";

/** A strip under the raster. */
export class Overview {
  readonly element: HTMLElement;
  readonly #slider: HTMLInputElement;
  readonly #surface: Surface;
  readonly #tape: Tape;
  #seen: Span = { start: 0, length: 0 };

  /** Calls `onScrub` with the index of the token that shall be the last one seen. */
  constructor(tape: Tape, onScrub: (index: number) => void) {
    this.#tape = tape;
    this.#slider = make("input", {
      type: "range",
      min: "0",
      max: "0",
      attributes: { "aria-label": "Scrub through the tokens" },
    });
    this.#slider.addEventListener("input", () => onScrub(this.#slider.valueAsNumber));
    const strip = make("div", { className: "pic-strip" });
    this.element = make("div", { className: "pic-overview" }, strip, this.#slider);
    this.#surface = new Surface(strip, (frame) => this.#draw(frame));
  }

  /** Shows what part is seen. */
  show(seen: Span): void {
    this.#seen = seen;
    const { tokens } = this.#tape;
    const index = this.#tape.indexAt(endOf(seen) - 1);
    this.#slider.max = String(Math.max(0, tokens.length - 1));
    this.#slider.value = String(index);
    this.#slider.disabled = tokens.length < 2;
    const token = tokens[index];
    if (token) this.#slider.setAttribute("aria-valuetext", `token ${token.position}, ${formatToken(token.text)}`);
    this.#surface.ask();
  }

  dispose(): void {
    this.#surface.dispose();
  }

  #draw({ context, width, height, theme }: Frame): boolean {
    const { tokens, columns } = this.#tape;
    if (columns.length === 0) return false;
    const x = (column: number) => ((column - columns.start) / columns.length) * width;
    context.fillStyle = theme.accent;
    const [left, right] = [
      x(Math.max(columns.start, this.#seen.start)),
      x(Math.min(endOf(columns), endOf(this.#seen))),
    ];
    context.globalAlpha = 0.16;
    context.fillRect(left, 0, Math.max(3, right - left), height);
    context.globalAlpha = 1;
    context.fillRect(left, height - 2, Math.max(3, right - left), 2);
    const middle = height / 2;
    let most = 1;
    for (const { positive, negative } of tokens) most = Math.max(most, positive, negative);
    // Thousands of tokens share pixels: each pixel draws its first.
    let drawn = Number.NEGATIVE_INFINITY;
    for (const { start, steps, positive, negative } of tokens) {
      const [from, to] = [x(start), x(start + steps)];
      if (from < drawn + 1) continue;
      drawn = from;
      const wide = Math.max(1, to - from - (to - from > 3 ? 1 : 0));
      context.fillStyle = theme.positive;
      const [up, down] = [(positive / most) * (middle - 2), (negative / most) * (middle - 2)];
      context.fillRect(from, middle - up, wide, up);
      context.fillStyle = theme.negative;
      context.fillRect(from, middle, wide, down);
    }
    return false;
  }
}
