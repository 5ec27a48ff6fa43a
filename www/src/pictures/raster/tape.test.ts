import { expect, test } from "vitest";
import type { Spikes } from "../../mar/types";
import { neuronOf, signOf, stepOf, Tape } from "./tape";

/** `rows` are neurons, their characters micro-steps. */
function spikes(position: number, ...rows: string[]): Spikes {
  const steps = rows[0]?.length ?? 0;
  const signs = { "+": 1, "-": -1, ".": 0 } as const;
  const trains = Int8Array.from(rows.join(""), (mark) => signs[mark as keyof typeof signs]);
  return { position, layer: 0, site: "down", steps, neurons: rows.length, trains };
}

test("a train is kept spike for spike", () => {
  const tape = new Tape();
  const rows = ["+.-", "...", "-+."];
  const token = tape.push(spikes(0, ...rows), "a");
  const drawn = rows.map((_, neuron) =>
    [0, 1, 2].map((step) => ({ "1": "+", "0": ".", "-1": "-" })[String(tape.spike(token, neuron, step))]).join(""),
  );
  expect(drawn).toEqual(rows);
  expect([token.positive, token.negative]).toEqual([2, 2]);
  const list = Array.from(token.spikes, (spike) => [neuronOf(spike), stepOf(spike), signOf(spike)]);
  expect(list).toEqual([
    [0, 0, 1],
    [0, 2, -1],
    [2, 0, -1],
    [2, 1, 1],
  ]);
});

test("tokens of different T follow each other without gaps", () => {
  const tape = new Tape();
  tape.push(spikes(5, "++"), "a");
  tape.push(spikes(6, "+..."), "b");
  tape.push(spikes(7, "+"), "c");
  expect(tape.tokens.map(({ start }) => start)).toEqual([0, 2, 6]);
  expect(tape.columns).toEqual({ start: 0, length: 7 });
  expect([0, 1, 2, 5, 6, 99, -4].map((column) => tape.indexAt(column))).toEqual([0, 0, 1, 1, 2, 2, 0]);
  expect(tape.within({ start: 1, length: 2 }).map(({ text }) => text)).toEqual(["a", "b"]);
  expect(tape.within({ start: 2, length: 4 }).map(({ text }) => text)).toEqual(["b"]);
});

test("tokens that come late lie before, and nothing else moves", () => {
  const tape = new Tape();
  tape.push(spikes(5, "++"), "later");
  tape.push(spikes(4, "+.."), "earlier");
  expect(tape.tokens.map(({ text, start }) => [text, start])).toEqual([
    ["earlier", -3],
    ["later", 0],
  ]);
});

test("a token told again takes its own place", () => {
  const tape = new Tape();
  tape.push(spikes(0, "++"), "a");
  tape.push(spikes(1, "++"), "b");
  tape.push(spikes(0, "-..."), "a again");
  expect(tape.tokens.map(({ text, start }) => [text, start])).toEqual([
    ["a again", 0],
    ["b", 4],
  ]);
});

test("cutting forgets what follows", () => {
  const tape = new Tape();
  for (const position of [0, 1, 2]) tape.push(spikes(position, "+"), String(position));
  tape.cut(1);
  expect(tape.tokens.map(({ text }) => text)).toEqual(["0"]);
  expect(tape.at(1)).toBeUndefined();
  expect(tape.at(0)?.text).toBe("0");
});

test("a full tape forgets its beginning and keeps its columns", () => {
  const tape = new Tape(5);
  for (const position of [0, 1, 2, 3]) tape.push(spikes(position, "++"), String(position));
  expect(tape.tokens.map(({ text, start }) => [text, start])).toEqual([
    ["2", 4],
    ["3", 6],
  ]);
});
