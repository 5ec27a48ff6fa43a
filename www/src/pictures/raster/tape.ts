// The spikes of a conversation at one site, token after token, as a tape of columns: one column a micro-step.
import type { Spikes } from "../../mar/types";
import type { Span } from "../common/span";

/** A token on the tape. */
export interface TapeToken {
  position: number;
  text: string;
  steps: number;
  neurons: number;
  /** Its first column. */
  start: number;
  /** Its spikes, each packed by `pack`, ascending: by neuron, then by micro-step. */
  spikes: Uint32Array;
  positive: number;
  negative: number;
}

/** A spike in 32 bits: neuron, micro-step (T ≤ 127), sign. */
function pack(neuron: number, step: number, negative: boolean): number {
  return ((neuron << 8) | (step << 1) | Number(negative)) >>> 0;
}

/** The neuron of a packed spike. */
export function neuronOf(spike: number): number {
  return spike >>> 8;
}

/** The micro-step of a packed spike, from 0. */
export function stepOf(spike: number): number {
  return (spike >>> 1) & 127;
}

/** The sign of a packed spike. */
export function signOf(spike: number): 1 | -1 {
  return spike & 1 ? -1 : 1;
}

/** The index of the first packed spike of `neuron` or a later one. */
export function firstOf(spikes: Uint32Array, neuron: number): number {
  const wanted = pack(neuron, 0, false);
  let [low, high] = [0, spikes.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((spikes[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Grows with the largest train. */
let room = new Uint32Array(0);

/** Where a train has its spikes. */
function compact(trains: Int8Array, steps: number): { spikes: Uint32Array; positive: number } {
  if (room.length < trains.length) room = new Uint32Array(trains.length);
  let [count, positive] = [0, 0];
  for (let i = 0, neuron = 0; i < trains.length; neuron++) {
    for (let step = 0; step < steps; step++, i++) {
      const sign = trains[i] as number;
      if (sign === 0) continue;
      room[count++] = pack(neuron, step, sign < 0);
      if (sign > 0) positive++;
    }
  }
  return { spikes: room.slice(0, count), positive };
}

/** A tape that forgets its beginning when it holds more than `capacity` spikes. */
export class Tape {
  #tokens: TapeToken[] = [];
  #held = 0;
  #neurons = 0;
  readonly #capacity: number;

  /** 8 million spikes take 32 MB. */
  constructor(capacity = 8_000_000) {
    this.#capacity = capacity;
  }

  /** Ascending by position. */
  get tokens(): readonly TapeToken[] {
    return this.#tokens;
  }

  /** All columns. The first is not 0 where the beginning was forgotten or tokens came later that lie before. */
  get columns(): Span {
    const [first, last] = [this.#tokens[0], this.#tokens.at(-1)];
    if (!first || !last) return { start: 0, length: 0 };
    return { start: first.start, length: last.start + last.steps - first.start };
  }

  /** The largest number of neurons that a token had. */
  get neurons(): number {
    return this.#neurons;
  }

  /** Adds a token, or takes the place of the one at its position. */
  push(spikes: Spikes, text: string): TapeToken {
    const { position, steps, neurons } = spikes;
    const token = { position, text, steps, neurons, start: 0, ...compact(spikes.trains, steps), negative: 0 };
    this.#neurons = Math.max(this.#neurons, neurons);
    token.negative = token.spikes.length - token.positive;
    const index = this.#indexFrom(position);
    const there = this.#tokens[index];
    const first = this.#tokens[0];
    if (there?.position === position) {
      token.start = there.start;
      this.#held -= there.spikes.length;
      this.#tokens[index] = token;
    } else {
      if (index === 0 && first) token.start = first.start - steps;
      this.#tokens.splice(index, 0, token);
    }
    this.#held += token.spikes.length;
    // What is shown must not move, so columns are counted on from the token before.
    for (let i = Math.max(1, index); i < this.#tokens.length; i++) {
      const [before, here] = [this.#tokens[i - 1], this.#tokens[i]];
      if (before && here) here.start = before.start + before.steps;
    }
    this.#forget();
    return token;
  }

  /** Forgets the tokens from `position` on. */
  cut(position: number): void {
    const gone = this.#tokens.splice(this.#indexFrom(position));
    for (const { spikes } of gone) this.#held -= spikes.length;
  }

  /** Forgets everything. */
  clear(): void {
    this.#tokens = [];
    [this.#held, this.#neurons] = [0, 0];
  }

  /** The token at a place of the conversation. */
  at(position: number): TapeToken | undefined {
    const token = this.#tokens[this.#indexFrom(position)];
    return token?.position === position ? token : undefined;
  }

  /** The index of the token that has a column, or of the nearest. */
  indexAt(column: number): number {
    let [low, high] = [0, this.#tokens.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const token = this.#tokens[middle];
      if (token && token.start + token.steps <= column) low = middle + 1;
      else high = middle;
    }
    return Math.min(low, Math.max(0, this.#tokens.length - 1));
  }

  /** The tokens that have columns in a span. */
  within(span: Span): readonly TapeToken[] {
    if (this.#tokens.length === 0) return [];
    const end = span.start + span.length;
    const found = this.#tokens.slice(this.indexAt(span.start), this.indexAt(end) + 1);
    return found.filter((token) => token.start < end && token.start + token.steps > span.start);
  }

  /** s_t of a neuron at a token's micro-step. */
  spike(token: TapeToken, neuron: number, step: number): -1 | 0 | 1 {
    for (let i = firstOf(token.spikes, neuron); i < token.spikes.length; i++) {
      const spike = token.spikes[i] ?? 0;
      if (neuronOf(spike) !== neuron || stepOf(spike) > step) return 0;
      if (stepOf(spike) === step) return signOf(spike);
    }
    return 0;
  }

  #indexFrom(position: number): number {
    let [low, high] = [0, this.#tokens.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#tokens[middle]?.position ?? 0) < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #forget(): void {
    let gone = 0;
    while (this.#held > this.#capacity && gone < this.#tokens.length - 1) {
      this.#held -= this.#tokens[gone]?.spikes.length ?? 0;
      gone++;
    }
    if (gone > 0) this.#tokens.splice(0, gone);
  }
}
