// Where the raster looks: what is seen, where it is going, and whether it follows the newest token.
import { confine, endOf, glide, pan, reveal, type Span, zoom } from "../common/span";
import type { View } from "./paint";

/** What there is to see. */
export interface World {
  /** All micro-steps. */
  columns: Span;
  neurons: number;
}

/** A place in the raster. */
export interface Cell {
  column: number;
  neuron: number;
}

/** Micro-steps seen at first, where there is a pixel for each. */
const COLUMNS = 512;
/** The least that is seen. */
const LEAST = { columns: 8, rows: 4 };
/** Half-lives in milliseconds: of the slide to another token, and of a zoom. */
const SLIDE = 70;
const EASE = 35;

/** A view that glides to its goal. */
export class Camera {
  readonly #world: () => World;
  readonly #still: () => boolean;
  #view: View = { columns: { start: 0, length: COLUMNS }, rows: { start: 0, length: 1 } };
  #goal: View = this.#view;
  #halfLife = SLIDE;
  #usual = COLUMNS;
  /** Nobody has zoomed in time or in neurons: then as much is seen as has room. */
  #untouched = true;
  /** Whether the newest token stays in view. */
  following = true;

  /** `still` says whether to go at once instead of gliding. */
  constructor(world: () => World, still: () => boolean) {
    this.#world = world;
    this.#still = still;
  }

  /** What is seen. */
  get view(): View {
    return this.#view;
  }

  /** What will be seen. */
  get goal(): View {
    return this.#goal;
  }

  /** Has room for so many CSS pixels of columns. */
  resize(width: number): void {
    this.#usual = Math.min(COLUMNS, Math.max(64, Math.round(width)));
    if (!this.#untouched || this.#goal.columns.length === this.#usual) return;
    this.#showUsual();
    this.#view = this.#goal;
  }

  /** There is more to see, or less. */
  update(): void {
    if (this.#untouched) this.#showUsual();
    else if (this.following) this.#toNewest(SLIDE);
  }

  /** All neurons, the usual number of micro-steps, the newest token. */
  whole(): void {
    this.following = this.#untouched = true;
    this.#showUsual();
  }

  /** Follows the newest token. */
  follow(): void {
    this.following = true;
    this.#toNewest(SLIDE);
  }

  /** Goes to the goal without gliding. */
  arrive(): void {
    this.#view = this.#goal;
  }

  /** Moves by micro-steps and neurons, at once. */
  pan(columns: number, rows: number): void {
    this.following = false;
    this.#aim({ columns: pan(this.#goal.columns, columns), rows: pan(this.#goal.rows, rows) }, 0);
  }

  /** Sees `time` times as many micro-steps and `neurons` times as many neurons, around a place, or up to the newest token. */
  zoom(time: number, neurons: number, at: Cell): void {
    this.#untouched = false;
    const { columns, rows } = this.#goal;
    this.#aim({ columns: zoom(columns, time, at.column), rows: zoom(rows, neurons, at.neuron) }, EASE);
    if (this.following) this.#toNewest(EASE);
  }

  /** Sees these neurons alone. */
  rows(rows: Span): void {
    this.#untouched = false;
    this.#aim({ rows }, EASE);
  }

  /** Has a column in the middle. */
  centre(column: number): void {
    this.following = false;
    const { length } = this.#goal.columns;
    this.#aim({ columns: { start: column - length / 2, length } }, SLIDE);
  }

  /** Has a column at the right edge. */
  endAt(column: number): void {
    const { length } = this.#goal.columns;
    this.#aim({ columns: { start: column - length, length } }, EASE);
  }

  /** Moves as little as it must to see a place. */
  reveal({ column, neuron }: Cell): void {
    const { columns, rows } = this.#goal;
    this.#aim({ columns: reveal(columns, column + 0.5, 1), rows: reveal(rows, neuron + 0.5, 1) }, EASE);
  }

  /** Glides on, on an area of so many pixels; true while it is not there. */
  step(elapsed: number, width: number, height: number): boolean {
    if (this.#view === this.#goal) return false;
    const next = {
      columns: glide(this.#view.columns, this.#goal.columns, elapsed, this.#halfLife),
      rows: glide(this.#view.rows, this.#goal.rows, elapsed, this.#halfLife),
    };
    const there = near(next.columns, this.#goal.columns, width) && near(next.rows, this.#goal.rows, height);
    this.#view = there || this.#still() ? this.#goal : next;
    return !there && !this.#still();
  }

  #showUsual(): void {
    const rows = { start: 0, length: this.#world().neurons };
    this.#aim({ rows, columns: { start: this.#goal.columns.start, length: this.#usual } }, SLIDE);
    // Neurons that were not there before do not grow into view.
    if (this.#view.rows.length !== rows.length) this.#view = { columns: this.#view.columns, rows };
    if (this.following) this.#toNewest(SLIDE);
  }

  #toNewest(halfLife: number): void {
    const { length } = this.#goal.columns;
    this.#aim({ columns: { start: endOf(this.#world().columns) - length, length } }, halfLife);
  }

  #aim(part: Partial<View>, halfLife: number): void {
    const { columns, rows } = { ...this.#goal, ...part };
    const world = this.#world();
    // A short tape has room to its right, and grows into it.
    const whole = { start: world.columns.start, length: Math.max(world.columns.length, this.#usual) };
    this.#goal = {
      columns: confine(columns, whole, LEAST.columns),
      rows: confine(rows, { start: 0, length: world.neurons }, LEAST.rows),
    };
    this.#halfLife = halfLife;
    if (halfLife === 0 || this.#still()) this.#view = this.#goal;
  }
}

/** Whether two spans differ by less than a fifth of a pixel. */
function near(a: Span, b: Span, pixels: number): boolean {
  return Math.abs(a.start - b.start) + Math.abs(a.length - b.length) < (0.2 * b.length) / Math.max(1, pixels);
}
