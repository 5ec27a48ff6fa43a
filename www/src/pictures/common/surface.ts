// A canvas that is as large as its place, sharp on every screen, and drawn only when something changed.
import { onTheme, readTheme, type Theme } from "./theme";

/** What a drawing gets: a context in CSS pixels, and their number. */
export interface Frame {
  context: CanvasRenderingContext2D;
  width: number;
  height: number;
  /** Device pixels of a CSS pixel. */
  ratio: number;
  theme: Theme;
  /** Milliseconds since the frame before, at most 100. */
  elapsed: number;
}

/** Draws; true asks for another frame, because something still moves. */
export type Draw = (frame: Frame) => boolean;

/** A canvas that fills its parent. */
export class Surface {
  readonly canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D | null;
  readonly #draw: Draw;
  readonly #resize: ResizeObserver;
  readonly #stopTheme: () => void;
  #theme: Theme | undefined;
  #width = 0;
  #height = 0;
  #ratio = 1;
  #frame = 0;
  #before = 0;
  #moving = false;

  /** In `parent`, which must have a size of its own. */
  constructor(parent: HTMLElement, draw: Draw) {
    this.canvas = document.createElement("canvas");
    this.canvas.className = "pic-canvas";
    this.#context = this.canvas.getContext("2d");
    this.#draw = draw;
    parent.append(this.canvas);
    this.#resize = new ResizeObserver(() => this.#measure());
    this.#resize.observe(parent);
    this.#stopTheme = onTheme(() => {
      this.#theme = undefined;
      this.ask();
    });
  }

  /** The size in CSS pixels. */
  get size(): { width: number; height: number } {
    return { width: this.#width, height: this.#height };
  }

  /** Asks for a frame. Any number of calls before it make one. */
  ask(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame((now) => this.#paint(now));
  }

  /** Takes the canvas away. */
  dispose(): void {
    cancelAnimationFrame(this.#frame);
    this.#resize.disconnect();
    this.#stopTheme();
    this.canvas.remove();
  }

  #measure(): void {
    const parent = this.canvas.parentElement;
    if (!parent) return;
    const { clientWidth, clientHeight } = parent;
    this.#ratio = Math.max(1, devicePixelRatio);
    this.#width = clientWidth;
    this.#height = clientHeight;
    this.canvas.width = Math.round(clientWidth * this.#ratio);
    this.canvas.height = Math.round(clientHeight * this.#ratio);
    // A canvas loses its picture with its size: in the same frame it gets a new one.
    cancelAnimationFrame(this.#frame);
    this.#paint(performance.now());
  }

  #paint(now: number): void {
    this.#frame = 0;
    const context = this.#context;
    if (!context || this.#width === 0 || this.#height === 0) return;
    this.#theme ??= readTheme(this.canvas.parentElement ?? document.body);
    // After a rest, motion begins as if the last frame had just been.
    const elapsed = this.#moving ? Math.min(100, Math.max(0, now - this.#before)) : 1000 / 60;
    this.#before = now;
    context.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    context.clearRect(0, 0, this.#width, this.#height);
    const [width, height, ratio, theme] = [this.#width, this.#height, this.#ratio, this.#theme];
    this.#moving = this.#draw({ context, width, height, ratio, theme, elapsed });
    if (this.#moving) this.ask();
  }
}
