// Where somebody looks in the raster: below the pointer, or where the arrow keys went; and what is read out there.
import { endOf } from "../common/span";
import { formatPercent, formatToken } from "../common/units";
import * as axes from "./axes";
import type { Camera, Cell } from "./camera";
import type { Tape, TapeToken } from "./tape";

/** A spike's place, found on the tape. */
export interface Found {
  token: TapeToken;
  neuron: number;
  step: number;
}

/** A place, and its words. */
export class Cursor {
  readonly #tape: Tape;
  readonly #camera: Camera;
  readonly #neurons: () => number;
  /** Where the pointer is, or else what the keyboard reads out. */
  #pointer: { x: number; y: number } | undefined;
  #cell: Cell | undefined;

  /** `neurons` says how many there are. */
  constructor(tape: Tape, camera: Camera, neurons: () => number) {
    this.#tape = tape;
    this.#camera = camera;
    this.#neurons = neurons;
  }

  /** The place, if there is one. */
  get cell(): Cell | undefined {
    return this.#cell;
  }

  /** The place, or where one would begin: the newest token that is seen. */
  get start(): Cell {
    if (this.#cell) return this.#cell;
    const { columns, rows } = this.#camera.goal;
    const last = Math.min(endOf(columns), endOf(this.#tape.columns)) - 1;
    return { column: Math.max(Math.ceil(columns.start), last), neuron: Math.floor(rows.start + rows.length / 2) };
  }

  /** The pointer is somewhere, or has gone. */
  point(place: { x: number; y: number } | undefined, area: axes.Area): void {
    this.#pointer = place;
    if (!place) this.#cell = undefined;
    this.slide(area);
  }

  /** What slides under a pointer at rest is read out too. True where there is one. */
  slide(area: axes.Area): boolean {
    if (!this.#pointer) return false;
    const { x, y } = this.#pointer;
    this.#cell = axes.inside(area, x, y) ? axes.cellAt(this.#camera.view, area, x, y) : undefined;
    return true;
  }

  /** Goes to a place, or as near to it as there is something. False where there is nothing. */
  walk({ column, neuron }: Cell): boolean {
    const { columns } = this.#tape;
    if (columns.length === 0) return false;
    this.#pointer = undefined;
    this.#cell = {
      column: Math.min(Math.max(column, columns.start), endOf(columns) - 1),
      neuron: Math.min(Math.max(neuron, 0), this.#neurons() - 1),
    };
    this.#camera.reveal(this.#cell);
    return true;
  }

  /** Is nowhere. */
  clear(): void {
    this.#cell = undefined;
  }

  /** What there is at the place. */
  found(): Found | undefined {
    if (!this.#cell) return undefined;
    const { column, neuron } = this.#cell;
    const token = this.#tape.tokens[this.#tape.indexAt(column)];
    const step = column - (token?.start ?? 0);
    return token && step >= 0 && step < token.steps && neuron < token.neurons ? { token, neuron, step } : undefined;
  }

  /** The place in words, or else the token that is marked; `undefined` where there is neither. */
  words(marked: TapeToken | undefined): string | undefined {
    const found = this.found();
    if (found) {
      const { token, neuron, step } = found;
      const spike = { "1": "spike +1", "0": "silent", "-1": "spike −1" }[this.#tape.spike(token, neuron, step)];
      return `token ${token.position} “${formatToken(token.text)}” · neuron ${neuron} · step ${step + 1} of ${token.steps} · ${spike}`;
    }
    if (!marked) return undefined;
    const { positive, negative, neurons, steps } = marked;
    const rate = formatPercent((positive + negative) / (neurons * steps));
    return `token ${marked.position} “${formatToken(marked.text)}” · ${positive} spikes +1, ${negative} spikes −1 · ${rate} of all places`;
  }
}
