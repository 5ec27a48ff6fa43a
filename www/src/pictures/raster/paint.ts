// Spikes to pixels. Each token is painted once, as a tile, and tiles are copied: 2,000 neurons by 512 micro-steps may hold
// a million spikes, and most frames only slide.
import { endOf, type Span } from "../common/span";
import { firstOf, neuronOf, signOf, stepOf, type TapeToken } from "./tape";

/** What is seen of the tape. */
export interface View {
  /** Micro-steps. */
  columns: Span;
  /** Neurons. */
  rows: Span;
}

/** Red, green, blue: 0 … 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** The colours of spikes and of what is behind them. */
export interface Inks {
  positive: Rgb;
  negative: Rgb;
  /** Behind tokens at even places of the conversation. */
  ground: Rgb;
  /** Behind those at odd places. */
  shade: Rgb;
}

/** How a token's tile looks: while this holds, the tile holds. */
export interface Look {
  /** Device pixels of a micro-step. */
  column: number;
  rows: Span;
  /** Device pixels of all rows. */
  height: number;
  inks: Inks;
}

/** From this height of a row on, in device pixels, + fills its upper half and − its lower: signs differ in place too. */
const SPLIT_ROW = 4;
/** From this width of a column on, ticks leave a pixel between them. */
const GAP_COLUMN = 3;
/** Counts that a pixel tells apart, by sign. */
const LEVELS = 16;
/** A − in the plane of counts; a + is 1. */
const NEGATIVE = 1 << 16;

/** Draws spikes into an image, and keeps its memory and its tiles from frame to frame. */
export class Painter {
  #image: ImageData | undefined;
  #pixels: Uint32Array = new Uint32Array(0);
  #tiles = new Map<TapeToken, Uint32Array>();
  #look: Look | undefined;
  #ramps: readonly [even: Uint32Array, odd: Uint32Array] = [new Uint32Array(1), new Uint32Array(1)];

  /** An image of `width` by `height` device pixels. Neuron 0 is at the bottom. */
  paint(tokens: readonly TapeToken[], view: View, width: number, height: number, inks: Inks): ImageData {
    const look = { column: width / view.columns.length, rows: view.rows, height, inks };
    if (!this.#look || !same(this.#look, look)) {
      this.#look = look;
      this.#ramps = [ramp(look, inks.ground), ramp(look, inks.shade)];
      this.#tiles.clear();
    }
    const image = this.#sized(width, height);
    this.#pixels.fill(this.#ramps[0][0] as number);
    const kept = new Map<TapeToken, Uint32Array>();
    // Columns have fixed pixels and the view moves by whole ones, so that tiles are the same wherever they are seen.
    const origin = Math.round(view.columns.start * look.column);
    for (const token of tokens) {
      const [left, right] = edges(token, look.column);
      const [from, to] = [Math.max(0, origin - left), Math.min(right - left, origin + width - left)];
      if (to <= from) continue;
      // A tile wider than the image is seen in part, and painted in part.
      const whole = right - left <= width;
      const tile = this.#tiles.get(token) ?? this.#tile(token, look, whole ? 0 : from, whole ? right - left : to);
      if (whole) kept.set(token, tile);
      const [skipped, stride] = whole ? [from, right - left] : [0, to - from];
      copy(tile, skipped, stride, this.#pixels, left + from - origin, width, to - from);
    }
    this.#tiles = kept;
    return image;
  }

  #sized(width: number, height: number): ImageData {
    if (this.#image?.width === width && this.#image.height === height) return this.#image;
    this.#image = new ImageData(width, height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    return this.#image;
  }

  #tile(token: TapeToken, look: Look, from: number, to: number): Uint32Array {
    const tile = countSpikes(token, look, from, to);
    // By place in the conversation, so that shades slide along with their tokens.
    const colours = this.#ramps[token.position % 2 === 1 ? 1 : 0];
    for (let i = 0; i < tile.length; i++) tile[i] = colours[level(tile[i] as number)] as number;
    return tile;
  }
}

function same(a: Look, b: Look): boolean {
  const rows = a.rows.start === b.rows.start && a.rows.length === b.rows.length;
  return rows && a.column === b.column && a.height === b.height && a.inks === b.inks;
}

/** A token's pixels on an endless canvas. */
function edges({ start, steps }: TapeToken, column: number): [left: number, right: number] {
  const left = Math.floor(start * column);
  return [left, Math.max(left + 1, Math.floor((start + steps) * column))];
}

/** Copies columns of a tile into an image of `width`. */
function copy(
  tile: Uint32Array,
  from: number,
  stride: number,
  pixels: Uint32Array,
  x: number,
  width: number,
  count: number,
): void {
  for (let source = from, target = x; target < pixels.length; source += stride, target += width) {
    for (let i = 0; i < count; i++) pixels[target + i] = tile[source + i] as number;
  }
}

/** How many spikes of each sign (`split`) fall on each pixel of a token's tile, of whose columns `from` … `to`: `[height, to - from]`. */
export function countSpikes(token: TapeToken, look: Look, from: number, to: number): Uint32Array {
  const { column, rows, height } = look;
  const width = to - from;
  const counts = new Uint32Array(width * height);
  const row = height / rows.length;
  const halves = row >= SPLIT_ROW;
  const tall = halves
    ? Math.max(1, Math.floor(row / 2) - (row >= 2 * SPLIT_ROW ? 1 : 0))
    : Math.max(1, Math.floor(row));
  const [lefts, rights] = stepEdges(token, column, from, width);
  const { spikes } = token;
  const end = firstOf(spikes, Math.ceil(endOf(rows)));
  for (let i = firstOf(spikes, Math.floor(rows.start)); i < end; i++) {
    const spike = spikes[i] as number;
    const negative = signOf(spike) < 0;
    const y = Math.floor(height - (neuronOf(spike) - rows.start + 1) * row + (halves && negative ? row / 2 : 0));
    const [top, bottom] = [Math.max(0, y), Math.min(height, y + tall)];
    const step = stepOf(spike);
    const [left, right] = [lefts[step] as number, rights[step] as number];
    const add = negative ? NEGATIVE : 1;
    for (let line = top * width; line < bottom * width; line += width) {
      for (let pixel = line + left; pixel < line + right; pixel++) counts[pixel] = (counts[pixel] as number) + add;
    }
  }
  return counts;
}

/** Where each micro-step's tick begins and ends in the columns `from` … `from + width` of a tile. Each has a pixel of it at least. */
function stepEdges(token: TapeToken, column: number, from: number, width: number): [Int32Array, Int32Array] {
  const gap = column >= GAP_COLUMN ? 1 : 0;
  const [tileLeft, tileRight] = edges(token, column);
  const inside = (pixel: number) => Math.min(width, Math.max(0, pixel - tileLeft - from));
  const left = (step: number) => Math.min(Math.floor((token.start + step) * column), tileRight - 1);
  const right = (step: number) => Math.max(left(step) + 1, Math.floor((token.start + step + 1) * column) - gap);
  const lefts = Int32Array.from({ length: token.steps }, (_, step) => inside(left(step)));
  const rights = Int32Array.from({ length: token.steps }, (_, step) => inside(Math.min(right(step), tileRight)));
  return [lefts, rights];
}

/** Spikes of both signs on a pixel. */
export function split(count: number): [positive: number, negative: number] {
  return [count & (NEGATIVE - 1), count >>> 16];
}

function level(count: number): number {
  return Math.min(count & (NEGATIVE - 1), LEVELS - 1) * LEVELS + Math.min(count >>> 16, LEVELS - 1);
}

/**
 * Colours by counts of both signs on a ground, as 0xAABBGGRR, which is what little-endian image data holds. They are opaque:
 * blending is dear where there is no GPU. A lone spike is always well seen; a pixel full of them is at full strength.
 */
function ramp({ column, rows, height, inks }: Look, ground: Rgb): Uint32Array {
  // Places for spikes under one pixel.
  const places = Math.max(1, 1 / column) * Math.max(1, rows.length / height);
  const colours = new Uint32Array(LEVELS * LEVELS);
  for (let positive = 0; positive < LEVELS; positive++) {
    for (let negative = 0; negative < LEVELS; negative++) {
      const both = positive + negative;
      const full = places <= 1.5 ? 1 : Math.min(1, 0.6 + (0.4 * both) / Math.min(places, LEVELS - 1));
      const strength = both === 0 ? 0 : full;
      const share = both === 0 ? 0 : positive / both;
      const mix = (i: 0 | 1 | 2) => {
        const ink = inks.positive[i] * share + inks.negative[i] * (1 - share);
        return Math.round(ink * strength + ground[i] * (1 - strength));
      };
      colours[positive * LEVELS + negative] = (0xff000000 | (mix(2) << 16) | (mix(1) << 8) | mix(0)) >>> 0;
    }
  }
  return colours;
}
