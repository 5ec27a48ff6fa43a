// Small drawings in SVG that are as wide as their place, with text that is as large as all other text.
import { make, svg } from "./dom";

/** Draws for a width in CSS pixels. */
export type DrawChart = (width: number) => SVGElement[];

/** A drawing of a fixed height that is drawn anew when its width changes. */
export class Chart {
  readonly element: HTMLElement;
  readonly #height: number;
  readonly #resize: ResizeObserver;
  #draw: DrawChart | undefined;
  #words = "";
  #frame = 0;

  constructor(height: number) {
    this.#height = height;
    this.element = make("div", { className: "pic-chart", hidden: true });
    this.#resize = new ResizeObserver(() => {
      cancelAnimationFrame(this.#frame);
      this.#paint();
    });
    this.#resize.observe(this.element);
  }

  /** Shows a drawing, with the words that stand for it; nothing where there is none. */
  show(words: string, draw: DrawChart | undefined): void {
    [this.#words, this.#draw] = [words, draw];
    this.element.hidden = draw === undefined;
    // With the frame's own layout: to ask for the width now would force another.
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#paint());
  }

  /** Stops to look after its width. */
  dispose(): void {
    cancelAnimationFrame(this.#frame);
    this.#resize.disconnect();
  }

  #paint(): void {
    this.#frame = 0;
    const width = this.element.clientWidth;
    if (!this.#draw || width === 0) return;
    const size = { width, height: this.#height, viewBox: `0 0 ${width} ${this.#height}` };
    this.element.replaceChildren(svg("svg", { ...size, role: "img", "aria-label": this.#words }, ...this.#draw(width)));
  }
}

/** Text at a place. */
export function label(
  x: number,
  y: number,
  anchor: "start" | "middle" | "end",
  content: string,
  kind = "",
): SVGElement {
  return svg("text", { x, y, "text-anchor": anchor, class: `pic-svg-text ${kind}` }, content);
}
