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

/** Spikes and pixels that are painted anew in one frame, at most: a millisecond or two of work. */
export const A_FRAME = 80_000;

/** Pixels on an endless canvas: the first, and the one behind the last. */
type Edges = readonly [left: number, right: number];

/** What the image shows, exactly. */
interface Shown {
  look: Look;
  /** The endless canvas' pixel at its left edge. */
  origin: number;
  places: ReadonlyMap<TapeToken, Edges>;
}

/** A token's pixels, and the look that they have. */
interface Tile {
  look: Look;
  width: number;
  pixels: Uint32Array;
}

/** Draws spikes into an image, and keeps its memory and its tiles from frame to frame. */
export class Painter {
  #image: ImageData | undefined;
  #pixels: Uint32Array = new Uint32Array(0);
  #tiles = new Map<TapeToken, Tile>();
  #look: Look | undefined;
  #ramps: readonly [even: Uint32Array, odd: Uint32Array] = [new Uint32Array(1), new Uint32Array(1)];
  #shown: Shown | undefined;
  #whole = true;

  /** Whether the last image was exact. */
  get whole(): boolean {
    return this.#whole;
  }

  /**
   * An image of `width` by `height` device pixels. Neuron 0 is at the bottom. No more than `work` spikes and pixels are painted
   * anew, the newest tokens first; the others are stretched from how they looked before, or left out, until a later call paints them.
   */
  paint(
    tokens: readonly TapeToken[],
    view: View,
    width: number,
    height: number,
    inks: Inks,
    work = Number.POSITIVE_INFINITY,
  ): ImageData {
    const look = this.#looking({ column: width / view.columns.length, rows: view.rows, height, inks });
    const image = this.#sized(width, height);
    // Columns have fixed pixels and the view moves by whole ones, so that tiles are the same wherever they are seen.
    const origin = Math.round(view.columns.start * look.column);
    const places = new Map(tokens.map((token) => [token, edges(token, look.column)]));
    const [first, last] = this.#slide({ look, origin, places }, width);
    this.#clear(first, last, width);
    const kept = new Map<TapeToken, Tile>();
    this.#whole = true;
    let left = work;
    for (const token of tokens.toReversed()) {
      const [start, end] = places.get(token) as Edges;
      const [from, to] = [Math.max(0, origin + first - start), Math.min(end - start, origin + last - start)];
      let tile = this.#tiles.get(token);
      if (to <= from) {
        // Its pixels are there already.
        if (tile) kept.set(token, tile);
        continue;
      }
      const x = start + from - origin;
      // A tile wider than the image is seen in part, and painted in part.
      if (end - start > width) {
        copy(this.#paint(token, look, from, to), 0, to - from, this.#pixels, x, width, to - from);
        continue;
      }
      if (tile?.look !== look && left > 0) {
        tile = { look, width: end - start, pixels: this.#paint(token, look, 0, end - start) };
        left -= token.spikes.length + tile.pixels.length;
      }
      if (tile?.look !== look) this.#whole = false;
      if (!tile) continue;
      kept.set(token, tile);
      if (tile.look === look) copy(tile.pixels, from, tile.width, this.#pixels, x, width, to - from);
      else {
        const ground = this.#ramp(token)[0] as number;
        stretch(tile, look, { from, to, width: end - start }, this.#pixels, x, width, ground);
      }
    }
    this.#tiles = kept;
    this.#shown = this.#whole ? { look, origin, places } : undefined;
    return image;
  }

  /**
   * Moves what the image has to where it is seen now; returns the columns that must be drawn: the first, and the one behind
   * the last. Only what comes into view, or changed, is: the rest of a frame is one move of memory.
   */
  #slide({ look, origin, places }: Shown, width: number): [first: number, end: number] {
    const before = this.#shown;
    const shift = before ? origin - before.origin : 0;
    if (before?.look !== look || Math.abs(shift) >= width) return [0, width];
    // What runs over a row's end lands in columns that are drawn.
    if (shift > 0) this.#pixels.copyWithin(0, shift);
    else if (shift < 0) this.#pixels.copyWithin(-shift, 0);
    let [first, end] = shift > 0 ? [width - shift, width] : [shift < 0 ? 0 : width, -shift];
    const draw = ([left, right]: Edges) => {
      if (right <= origin || left >= origin + width) return;
      first = Math.min(first, Math.max(0, left - origin));
      end = Math.max(end, Math.min(width, right - origin));
    };
    for (const [token, edges] of places) if (!alike(before.places.get(token), edges)) draw(edges);
    for (const [token, edges] of before.places) if (!alike(places.get(token), edges)) draw(edges);
    return [first, end];
  }

  /** Makes columns ground. */
  #clear(first: number, end: number, width: number): void {
    const ground = this.#ramps[0][0] as number;
    if (end - first >= width) this.#pixels.fill(ground);
    else if (end > first) {
      for (let row = 0; row < this.#pixels.length; row += width) this.#pixels.fill(ground, row + first, row + end);
    }
  }

  /** One object for one look: tiles are as they were while it is the same. */
  #looking(look: Look): Look {
    if (this.#look && same(this.#look, look)) return this.#look;
    // Other colours make all tiles wrong, and cannot be stretched.
    if (this.#look?.inks !== look.inks) this.#tiles.clear();
    this.#look = look;
    this.#ramps = [ramp(look, look.inks.ground), ramp(look, look.inks.shade)];
    return look;
  }

  #sized(width: number, height: number): ImageData {
    if (this.#image?.width === width && this.#image.height === height) return this.#image;
    this.#image = new ImageData(width, height);
    this.#shown = undefined;
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    return this.#image;
  }

  /** By place in the conversation, so that shades slide along with their tokens. */
  #ramp(token: TapeToken): Uint32Array {
    return this.#ramps[token.position % 2 === 1 ? 1 : 0];
  }

  #paint(token: TapeToken, look: Look, from: number, to: number): Uint32Array {
    const colours = this.#ramp(token);
    if (look.column >= 1 && look.height >= look.rows.length) return paintTicks(token, look, from, to, colours);
    const pixels = countSpikes(token, look, from, to);
    for (let i = 0; i < pixels.length; i++) pixels[i] = colours[level(pixels[i] as number)] as number;
    return pixels;
  }
}

function same(a: Look, b: Look): boolean {
  const rows = a.rows.start === b.rows.start && a.rows.length === b.rows.length;
  return rows && a.column === b.column && a.height === b.height && a.inks === b.inks;
}

function alike(a: Edges | undefined, b: Edges): boolean {
  return a?.[0] === b[0] && a[1] === b[1];
}

/** From so many pixels of a line on, it is copied at once. */
const WIDE = 64;

/** A token's pixels on an endless canvas. */
function edges({ start, steps }: TapeToken, column: number): Edges {
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
    if (count >= WIDE) pixels.set(tile.subarray(source, source + count), target);
    else for (let i = 0; i < count; i++) pixels[target + i] = tile[source + i] as number;
  }
}

/** Draws a tile as if it had another look: each pixel is the one that was in its place. What was not seen before is ground. */
function stretch(
  { look: before, width: had, pixels: source }: Tile,
  { rows, height }: Look,
  { from, to, width: has }: { from: number; to: number; width: number },
  pixels: Uint32Array,
  x: number,
  width: number,
  ground: number,
): void {
  const columns = Int32Array.from({ length: to - from }, (_, i) => Math.floor(((from + i + 0.5) * had) / has));
  for (let y = 0; y < height; y++) {
    const neuron = endOf(rows) - ((y + 0.5) * rows.length) / height;
    const line = Math.floor(((endOf(before.rows) - neuron) * before.height) / before.rows.length);
    const target = y * width + x;
    if (line < 0 || line >= before.height) pixels.fill(ground, target, target + columns.length);
    else
      for (let i = 0; i < columns.length; i++)
        pixels[target + i] = source[line * had + (columns[i] as number)] as number;
  }
}

/** How many spikes of each sign (`split`) fall on each pixel of a token's tile, of whose columns `from` … `to`: `[height, to - from]`. */
export function countSpikes(token: TapeToken, look: Look, from: number, to: number): Uint32Array {
  const width = to - from;
  const counts = new Uint32Array(width * look.height);
  ticks(token, look, from, width, (start, end, negative) => {
    const add = negative ? NEGATIVE : 1;
    for (let pixel = start; pixel < end; pixel++) counts[pixel] = (counts[pixel] as number) + add;
  });
  return counts;
}

/** The pixels of a tile whose spikes share none: nothing needs to be counted. As `countSpikes` has them. */
function paintTicks(token: TapeToken, look: Look, from: number, to: number, colours: Uint32Array): Uint32Array {
  const width = to - from;
  const pixels = new Uint32Array(width * look.height).fill(colours[0] as number);
  const [plus, minus] = [colours[level(1)] as number, colours[level(NEGATIVE)] as number];
  ticks(token, look, from, width, (start, end, negative) => {
    const colour = negative ? minus : plus;
    for (let pixel = start; pixel < end; pixel++) pixels[pixel] = colour;
  });
  return pixels;
}

/** Calls `draw` for each line of pixels of each spike's tick, in the columns `from` … `from + width` of a tile. */
function ticks(
  token: TapeToken,
  { column, rows, height }: Look,
  from: number,
  width: number,
  draw: (start: number, end: number, negative: boolean) => void,
): void {
  const row = height / rows.length;
  const halves = row >= SPLIT_ROW;
  const tall = halves
    ? Math.max(1, Math.floor(row / 2) - (row >= 2 * SPLIT_ROW ? 1 : 0))
    : Math.max(1, Math.floor(row));
  const [lefts, rights] = stepEdges(token, column, from, width);
  const top = (neuron: number, negative: boolean) =>
    Math.floor(height - (neuron - rows.start + 1) * row + (halves && negative ? row / 2 : 0));
  const line = (y: number) => Math.min(height, Math.max(0, y)) * width;
  const { spikes } = token;
  const end = firstOf(spikes, Math.ceil(endOf(rows)));
  // Spikes come by neuron, so the places of its rows are computed once.
  let [neuron, plusTop, plusEnd, minusTop, minusEnd] = [-1, 0, 0, 0, 0];
  for (let i = firstOf(spikes, Math.floor(rows.start)); i < end; i++) {
    const spike = spikes[i] as number;
    const step = stepOf(spike);
    const [left, right] = [lefts[step] as number, rights[step] as number];
    if (left === right) continue;
    if (neuronOf(spike) !== neuron) {
      neuron = neuronOf(spike);
      const [plus, minus] = [top(neuron, false), top(neuron, true)];
      [plusTop, plusEnd, minusTop, minusEnd] = [line(plus), line(plus + tall), line(minus), line(minus + tall)];
    }
    const negative = signOf(spike) < 0;
    const bottom = negative ? minusEnd : plusEnd;
    for (let start = negative ? minusTop : plusTop; start < bottom; start += width) {
      draw(start + left, start + right, negative);
    }
  }
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
