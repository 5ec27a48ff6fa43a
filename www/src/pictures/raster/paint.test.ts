import { beforeAll, expect, test } from "vitest";
import type { Spikes } from "../../mar/types";
import { countSpikes, type Inks, type Look, Painter, split } from "./paint";
import { Tape } from "./tape";

const STEPS = 4;
const INKS: Inks = { positive: [255, 0, 0], negative: [0, 0, 255], ground: [0, 0, 0], shade: [0, 9, 0] };

beforeAll(() => {
  // Node has no images; the painter needs no more than this of one.
  class Image {
    readonly data: Uint8ClampedArray;
    constructor(
      readonly width: number,
      readonly height: number,
    ) {
      this.data = new Uint8ClampedArray(4 * width * height);
    }
  }
  Object.assign(globalThis, { ImageData: Image });
});

function tapeOf(neurons: number, tokens: number): Tape {
  const tape = new Tape();
  for (let position = 0; position < tokens; position++) {
    // No regular pattern, and every sign.
    const trains = Int8Array.from(
      { length: neurons * STEPS },
      (_, i) => (((i * 7919 + position * 104729) % 13) % 3) - 1,
    );
    const spikes: Spikes = { position, layer: 0, site: "down", steps: STEPS, neurons, trains };
    tape.push(spikes, "");
  }
  return tape;
}

function lookOf(column: number, height: number, neurons: number): Look {
  return { column, height, rows: { start: 0, length: neurons }, inks: INKS };
}

test.each([
  ["a pixel for each", 1, 20],
  ["several for a pixel", 0.7, 7],
  ["pixels between the columns", 1.3, 20],
])("no spike is lost: %s", (_, column, height) => {
  for (const token of tapeOf(20, 4).tokens) {
    const width = Math.floor((token.start + STEPS) * column) - Math.floor(token.start * column);
    const counts = countSpikes(token, lookOf(column, height, 20), 0, width);
    let [positive, negative] = [0, 0];
    for (const count of counts) {
      positive += split(count)[0];
      negative += split(count)[1];
    }
    // A tick may be two pixels wide, but none is zero.
    expect(positive).toBeGreaterThanOrEqual(token.positive);
    expect(negative).toBeGreaterThanOrEqual(token.negative);
    if (column <= 1) expect([positive, negative]).toEqual([token.positive, token.negative]);
  }
});

test("a part of a tile is that part of the whole", () => {
  const [, token] = tapeOf(6, 2).tokens;
  if (!token) throw new Error("no token");
  const look = lookOf(9.5, 30, 6);
  const [whole, part] = [countSpikes(token, look, 0, 38), countSpikes(token, look, 11, 29)];
  for (let y = 0; y < 30; y++) {
    expect(Array.from(part.subarray(y * 18, y * 18 + 18))).toEqual(
      Array.from(whole.subarray(y * 38 + 11, y * 38 + 29)),
    );
  }
});

test("neuron 0 is at the bottom, and signs have their own halves of a tall row", () => {
  const tape = new Tape();
  const trains = Int8Array.of(1, -1, 0, 0);
  const token = tape.push({ position: 0, layer: 0, site: "down", steps: 2, neurons: 2, trains }, "");
  const counts = countSpikes(token, lookOf(1, 8, 2), 0, 2);
  const rows = Array.from({ length: 8 }, (_, y) =>
    Array.from(counts.subarray(2 * y, 2 * y + 2), (count) => split(count).join()),
  );
  const empty = ["0,0", "0,0"];
  expect(rows).toEqual([empty, empty, empty, empty, ["1,0", "0,0"], ["1,0", "0,0"], ["0,0", "0,1"], ["0,0", "0,1"]]);
});

test.each([3, 3.5, 40])("sliding shows what painting anew shows, at %d pixels a step", (column) => {
  const tape = tapeOf(10, 6);
  const sliding = new Painter();
  for (let start = 0; start < 12; start += 0.4) {
    const view = { columns: { start, length: 60 / column }, rows: { start: 2, length: 7 } };
    const fresh = new Painter().paint(tape.tokens, view, 60, 21, INKS);
    const slid = sliding.paint(tape.tokens, view, 60, 21, INKS);
    expect(slid.data).toEqual(fresh.data);
  }
  const [first] = tape.tokens;
  const image = sliding.paint(
    tape.tokens,
    { columns: { start: 0, length: 60 / column }, rows: { start: 0, length: 10 } },
    60,
    10,
    INKS,
  );
  // The pixel of each neuron's first micro-step, from the bottom, is its spike's.
  const reds = Array.from({ length: 10 }, (_, neuron) => image.data[4 * 60 * (9 - neuron)]);
  expect(reds).toEqual(
    Array.from({ length: 10 }, (_, neuron) => (first && tape.spike(first, neuron, 0) === 1 ? 255 : 0)),
  );
});

test.each([
  [1, 9],
  [1.3, 9],
  [2.5, 40],
  [9.5, 90],
])(
  "where each spike has pixels of its own they have its colour, at %d pixels a step and %d for nine rows",
  (column, height) => {
    const [token] = tapeOf(9, 1).tokens;
    if (!token) throw new Error("no token");
    const width = Math.floor(STEPS * column);
    const counts = countSpikes(token, lookOf(column, height, 9), 0, width);
    const view = { columns: { start: 0, length: width / column }, rows: { start: 0, length: 9 } };
    const { data } = new Painter().paint([token], view, width, height, INKS);
    const red = Array.from(counts, (count) => 255 * split(count)[0]);
    const blue = Array.from(counts, (count) => 255 * split(count)[1]);
    expect(Math.max(...red, ...blue)).toBe(255);
    expect(red.map((_, i) => data[4 * i])).toEqual(red);
    expect(blue.map((_, i) => data[4 * i + 2])).toEqual(blue);
  },
);

test("whatever changes while it slides, a frame is as if painted anew", () => {
  const tape = new Tape();
  const sliding = new Painter();
  let [next, seed] = [0, 7];
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const push = (position: number) => {
    const trains = Int8Array.from({ length: 9 * STEPS }, () => random(3) - 1);
    tape.push({ position, layer: 0, site: "down", steps: STEPS, neurons: 9, trains }, "");
  };
  let start = 0;
  for (let frame = 0; frame < 400; frame++) {
    const act = random(8);
    if (act < 4) push(next++);
    // A token is computed once more; or all from one on.
    if (act === 4 && next > 0) push(random(next));
    if (act === 5 && next > 0) {
      next -= random(Math.min(3, next));
      tape.cut(next);
    }
    // Along with the newest, a little back and forth, and far away.
    start = act === 6 ? random(next * STEPS + 1) : start + random(9) / 2 - (act === 7 ? 4 : 1);
    const view = { columns: { start, length: 20 }, rows: { start: 0, length: frame % 90 < 80 ? 9 : 4 } };
    const work = act === 0 ? 1 : Number.POSITIVE_INFINITY;
    const slid = sliding.paint(tape.within(view.columns), view, 50, 18, INKS, work);
    if (!sliding.whole) continue;
    const fresh = new Painter().paint(tape.within(view.columns), view, 50, 18, INKS);
    expect(Buffer.from(slid.data.buffer).equals(Buffer.from(fresh.data.buffer)), `frame ${frame}`).toBe(true);
  }
});

test("a zoom shows what it had, stretched, until what is exact is painted within the work of a few frames", () => {
  const tape = tapeOf(40, 6);
  const painter = new Painter();
  const whole = { columns: { start: 0, length: 24 }, rows: { start: 0, length: 40 } };
  painter.paint(tape.tokens, whole, 48, 40, INKS);
  expect(painter.whole).toBe(true);
  const near = { columns: { start: 0, length: 24 }, rows: { start: 10, length: 20 } };
  const exact = new Painter().paint(tape.tokens, near, 48, 40, INKS);
  // A row of one pixel becomes a row of two: where nothing is finer, stretched is nearly exact.
  const first = painter.paint(tape.tokens, near, 48, 40, INKS, 1);
  expect(painter.whole).toBe(false);
  const different = first.data.filter((value, i) => value !== exact.data[i]).length;
  expect(different).toBeLessThan(0.2 * exact.data.length);
  let frames = 1;
  for (; !painter.whole; frames++) painter.paint(tape.tokens, near, 48, 40, INKS, 1);
  expect(frames).toBe(tape.tokens.length);
  expect(painter.paint(tape.tokens, near, 48, 40, INKS, 1).data).toEqual(exact.data);
});

test("stretched is never out of place: what was not seen is ground, and a spike stays with its neuron", () => {
  const tape = new Tape();
  const trains = new Int8Array(8);
  trains[5] = 1;
  tape.push({ position: 0, layer: 0, site: "down", steps: 1, neurons: 8, trains }, "");
  tape.push({ position: 1, layer: 0, site: "down", steps: 1, neurons: 8, trains }, "");
  const painter = new Painter();
  const columns = { start: 0, length: 2 };
  painter.paint(tape.tokens, { columns, rows: { start: 4, length: 4 } }, 2, 8, INKS);
  const far = painter.paint(tape.tokens, { columns, rows: { start: 0, length: 8 } }, 2, 8, INKS, 1);
  expect(painter.whole).toBe(false);
  // Token 0 is stretched; its column's reds from the top are neurons 7 to 0.
  expect(Array.from({ length: 8 }, (_, y) => far.data[4 * 2 * y])).toEqual([0, 0, 255, 0, 0, 0, 0, 0]);
});
