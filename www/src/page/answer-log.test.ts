import { expect, test } from "vitest";
import type { TokenEvent } from "../mar/types";
import { AnswerLog } from "./answer-log";

const token = (position: number): TokenEvent => ({
  position,
  token: position,
  text: `t${position}`,
  milliseconds: 1,
  spikes_positive: Uint32Array.of(1),
  spikes_negative: Uint32Array.of(1),
  active: Uint32Array.of(1),
  neurons: Uint32Array.of(8),
  ac: Float64Array.of(1),
  mac: Float64Array.of(1),
  joules_arithmetic: Float64Array.of(1),
  joules_with_data: Float64Array.of(1),
  energy: {
    arithmetic: { spiking: 1, dense: 1, transformer: 1 },
    with_data: { spiking: 1, dense: 1, transformer: 1 },
    terms: [],
    dense_terms: [],
    transformer_terms: [],
  },
});

const positions = (log: AnswerLog, answer: string) => log.of(answer).map(({ position }) => position);

test("what is held is bounded: the oldest answers go, the newest stays whole", () => {
  const log = new AnswerLog(4);
  for (const position of [3, 4, 5]) log.add("a", token(position));
  for (const position of [9, 10]) log.add("b", token(position));
  expect(positions(log, "a")).toEqual([]);
  expect(positions(log, "b")).toEqual([9, 10]);
  for (const position of [20, 21, 22, 23, 24, 25]) log.add("c", token(position));
  expect(positions(log, "b")).toEqual([]);
  expect(positions(log, "c")).toHaveLength(6);
});

test("an answer that goes on keeps its beginning, and one that begins anew does not", () => {
  const log = new AnswerLog();
  expect([3, 4, 5].map((position) => log.add("a", token(position)))).toEqual([true, false, false]);
  expect(log.add("a", token(6))).toBe(false);
  expect(log.add("a", token(5))).toBe(true);
  expect(positions(log, "a")).toEqual([3, 4, 5]);
  expect(log.add("a", token(2))).toBe(true);
  expect(positions(log, "a")).toEqual([2]);
  expect(log.textAt(4)).toBe(undefined);
});

test("an answer that is gone back to is as it was", () => {
  const log = new AnswerLog();
  for (const position of [3, 4]) log.add("a", token(position));
  const before = [...log.of("a")];
  log.add("b", token(9));
  expect(log.of("a")).toEqual(before);
  expect(log.add("a", token(5))).toBe(false);
  expect(positions(log, "a")).toEqual([3, 4, 5]);
  expect(positions(log, "b")).toEqual([9]);
});
