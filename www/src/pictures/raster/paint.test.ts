import { expect, test } from "vitest";
import type { Spikes } from "../../mar/types";
import { countSpikes, split, type View } from "./paint";
import { Tape } from "./tape";

const STEPS = 4;

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

function sums(tape: Tape, view: View, width: number, height: number): [number, number] {
  const counts = new Uint32Array(width * height);
  const touched = counts.slice();
  const used = countSpikes(counts, touched, tape.tokens, view, width, height);
  // What is touched is what is not empty, each pixel once.
  const full = Array.from(counts.keys()).filter((pixel) => counts[pixel] !== 0);
  expect(Array.from(touched.subarray(0, used)).sort((a, b) => a - b)).toEqual(full);
  return counts.reduce<[number, number]>(([p, n], count) => [p + split(count)[0], n + split(count)[1]], [0, 0]);
}

const everything = (tape: Tape): View => ({ columns: tape.columns, rows: { start: 0, length: tape.neurons } });

test.each([
  ["a pixel for each", 16, 20],
  ["several for a pixel", 5, 3],
])("every spike is drawn once: %s", (_, width, height) => {
  const tape = tapeOf(20, 4);
  const held = tape.tokens.reduce((sum, { positive }) => sum + positive, 0);
  const negative = tape.tokens.reduce((sum, token) => sum + token.negative, 0);
  expect(sums(tape, everything(tape), width, height)).toEqual([held, negative]);
});

test("only what is in view is drawn", () => {
  const tape = tapeOf(20, 4);
  const [token] = tape.tokens;
  const view = { columns: { start: 0, length: STEPS }, rows: { start: 3, length: 1 } };
  const expected = [0, 1, 2, 3].map((step) => (token ? tape.spike(token, 3, step) : 0));
  const counts = new Uint32Array(STEPS);
  countSpikes(counts, counts.slice(), tape.tokens, view, STEPS, 1);
  expect(Array.from(counts, (count) => split(count)[0] - split(count)[1])).toEqual(expected);
});

test("neuron 0 is at the bottom, and signs have their own halves of a tall row", () => {
  const tape = new Tape();
  tape.push({ position: 0, layer: 0, site: "down", steps: 2, neurons: 2, trains: Int8Array.of(1, -1, 0, 0) }, "");
  const counts = new Uint32Array(2 * 8);
  countSpikes(counts, counts.slice(), tape.tokens, everything(tape), 2, 8);
  const rows = Array.from({ length: 8 }, (_, y) => Array.from(counts.subarray(2 * y, 2 * y + 2), (c) => split(c)));
  const [no, plus, minus] = [
    [0, 0],
    [1, 0],
    [0, 1],
  ];
  expect(rows).toEqual([
    [no, no],
    [no, no],
    [no, no],
    [no, no],
    [plus, no],
    [plus, no],
    [no, minus],
    [no, minus],
  ]);
});
