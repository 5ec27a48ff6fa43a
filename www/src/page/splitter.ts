// A bar that changes a size: by dragging, or by the arrow keys.

/** What a splitter changes. Sizes are in the units of the caller. */
export interface SplitterOptions {
  label: string;
  /** Which way the bar moves. */
  axis: () => "x" | "y";
  min: number;
  max: number;
  /** One press of an arrow. */
  step: number;
  get: () => number;
  set: (size: number) => void;
  /** The change in size, of a movement in pixels. */
  scale: (pixels: number) => number;
  /** Back to the style sheet's size. */
  reset: () => void;
}

/** Makes `host` a splitter. */
export function makeSplitter(host: HTMLElement, options: SplitterOptions): void {
  const { label, min, max, step } = options;
  const tell = () => {
    // The bar itself stands across the way in which it moves.
    host.setAttribute("aria-orientation", options.axis() === "x" ? "vertical" : "horizontal");
    host.setAttribute("aria-valuenow", String(Math.round(options.get())));
  };
  const set = (size: number) => {
    options.set(Math.min(max, Math.max(min, size)));
    tell();
  };
  host.setAttribute("role", "separator");
  host.setAttribute("aria-label", label);
  host.setAttribute("aria-valuemin", String(min));
  host.setAttribute("aria-valuemax", String(max));
  host.tabIndex = 0;
  host.addEventListener("focus", tell);
  host.addEventListener("keydown", (event) => {
    const arrows = options.axis() === "x" ? ["ArrowLeft", "ArrowRight"] : ["ArrowUp", "ArrowDown"];
    const index = arrows.indexOf(event.key);
    if (index < 0) return;
    event.preventDefault();
    const direction = Math.sign(options.scale(index === 0 ? -1 : 1));
    set(options.get() + direction * step);
  });
  host.addEventListener("dblclick", () => {
    options.reset();
    tell();
  });
  host.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    host.setPointerCapture(event.pointerId);
    host.classList.add("dragged");
    const axis = options.axis();
    const from = axis === "x" ? event.clientX : event.clientY;
    const size = options.get();
    const move = (event: PointerEvent) =>
      set(size + options.scale((axis === "x" ? event.clientX : event.clientY) - from));
    host.addEventListener("pointermove", move);
    host.addEventListener(
      "lostpointercapture",
      () => {
        host.classList.remove("dragged");
        host.removeEventListener("pointermove", move);
      },
      { once: true },
    );
  });
  // Its size is known once there is a layout; asking now would force one.
  requestAnimationFrame(tell);
}
