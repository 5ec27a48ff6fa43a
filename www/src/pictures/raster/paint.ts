// Spikes to pixels. Typed arrays all the way: at 2,000 neurons by 512 micro-steps there may be a million of them a frame.
import type { Span } from "../common/span";
import { firstOf, neuronOf, signOf, stepOf, type TapeToken } from "./tape";

/** What is seen of the tape. */
export interface View {
  /** Micro-steps. */
  columns: Span;
  /** Neurons. */
  rows: Span;
}

/** The colours of spikes on a background, as 0xAABBGGRR, which is what little-endian image data holds. */
export interface Inks {
  positive: [number, number, number];
  negative: [number, number, number];
}

/** From this height of a row on, in device pixels, + fills its upper half and − its lower: signs differ in place too. */
const SPLIT_ROW = 4;
/** From this width of a column on, ticks leave a pixel between them. */
const GAP_COLUMN = 3;
/** Counts that a pixel tells apart, by sign. */
const LEVELS = 16;
/** A − in the plane of counts; a + is 1. */
const NEGATIVE = 1 << 16;

/** Draws spikes into an image, and keeps its memory from frame to frame. */
export class Painter {
  #counts = new Uint32Array(0);
  #touched = new Uint32Array(0);
  #used = 0;
  #image: ImageData | undefined;
  #pixels = new Uint32Array(0);

  /** An image of `width` by `height` device pixels. Neuron 0 is at the bottom; where nothing fired, it is transparent. */
  paint(tokens: readonly TapeToken[], view: View, width: number, height: number, inks: Inks): ImageData {
    const image = this.#sized(width, height);
    // Only the pixels that spikes touch are counted and cleared: few frames have many.
    for (let i = 0; i < this.#used; i++) this.#counts[this.#touched[i] as number] = 0;
    this.#used = countSpikes(this.#counts, this.#touched, tokens, view, width, height);
    const colours = ramp(inks, view, width, height);
    this.#pixels.fill(0);
    for (let i = 0; i < this.#used; i++) {
      const pixel = this.#touched[i] as number;
      this.#pixels[pixel] = colours[level(this.#counts[pixel] as number)] as number;
    }
    return image;
  }

  #sized(width: number, height: number): ImageData {
    if (this.#image?.width === width && this.#image.height === height) return this.#image;
    this.#image = new ImageData(width, height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    this.#counts = new Uint32Array(width * height);
    this.#touched = new Uint32Array(width * height);
    this.#used = 0;
    return this.#image;
  }
}

/**
 * How many spikes of each sign fall on each pixel, added to `counts`, `[height, width]`. Lists the pixels that had none in
 * `touched`, as long as `counts`, and returns how many those are.
 */
export function countSpikes(
  counts: Uint32Array,
  touched: Uint32Array,
  tokens: readonly TapeToken[],
  view: View,
  width: number,
  height: number,
): number {
  let used = 0;
  const [column, row] = [width / view.columns.length, height / view.rows.length];
  const split = row >= SPLIT_ROW;
  const tall = split ? Math.max(1, Math.floor(row / 2) - (row >= 2 * SPLIT_ROW ? 1 : 0)) : Math.max(1, Math.floor(row));
  const gap = column >= GAP_COLUMN ? 1 : 0;
  const last = Math.ceil(view.rows.start + view.rows.length);
  for (const { spikes, start } of tokens) {
    const left = (start - view.columns.start) * column;
    const end = firstOf(spikes, last);
    for (let i = firstOf(spikes, Math.floor(view.rows.start)); i < end; i++) {
      const spike = spikes[i] as number;
      const negative = signOf(spike) < 0;
      const step = stepOf(spike);
      const top = height - (neuronOf(spike) - view.rows.start + 1) * row + (split && negative ? row / 2 : 0);
      const x = Math.floor(left + step * column);
      const y = Math.floor(top);
      const right = Math.min(width, Math.max(x + 1, Math.floor(left + (step + 1) * column) - gap));
      const bottom = Math.min(height, y + tall);
      const add = negative ? NEGATIVE : 1;
      for (let line = Math.max(0, y); line < bottom; line++) {
        const base = line * width;
        for (let pixel = base + Math.max(0, x); pixel < base + right; pixel++) {
          const count = counts[pixel] as number;
          if (count === 0) touched[used++] = pixel;
          counts[pixel] = count + add;
        }
      }
    }
  }
  return used;
}

/** Spikes of both signs on a pixel. */
export function split(count: number): [positive: number, negative: number] {
  return [count & (NEGATIVE - 1), count >>> 16];
}

function level(count: number): number {
  const [positive, negative] = [count & (NEGATIVE - 1), count >>> 16];
  return Math.min(positive, LEVELS - 1) * LEVELS + Math.min(negative, LEVELS - 1);
}

/** Colours by counts of both signs. A lone spike is always well seen; a pixel full of them is at full strength. */
function ramp(inks: Inks, view: View, width: number, height: number): Uint32Array {
  // Places for spikes under one pixel.
  const places = Math.max(1, view.columns.length / width) * Math.max(1, view.rows.length / height);
  const colours = new Uint32Array(LEVELS * LEVELS);
  for (let positive = 0; positive < LEVELS; positive++) {
    for (let negative = 0; negative < LEVELS; negative++) {
      const both = positive + negative;
      if (both === 0) continue;
      const strength = places <= 1.5 ? 1 : Math.min(1, 0.6 + (0.4 * both) / Math.min(places, LEVELS - 1));
      const share = positive / both;
      const mix = (i: 0 | 1 | 2) => Math.round(inks.positive[i] * share + inks.negative[i] * (1 - share));
      const alpha = Math.round(255 * strength);
      colours[positive * LEVELS + negative] = ((alpha << 24) | (mix(2) << 16) | (mix(1) << 8) | mix(0)) >>> 0;
    }
  }
  return colours;
}
