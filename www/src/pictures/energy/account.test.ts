import { expect, test } from "vitest";
import type { Energy, Term } from "../../mar/types";
import type { TokenCost } from "../cost";
import { energyCsv, joulesOf, sum, termsOf, verdict } from "./account";

const ac: Term = { label: "projections", class: "ac", count: 1000, picojoules_each: 0.9 };
const bytes: Term = { label: "weights", class: "weight_bytes", count: 10, picojoules_each: 162.5 };

function energy(spiking: number, dense: number, transformer: number): Energy {
  const joules = { spiking, dense, transformer };
  return { arithmetic: joules, with_data: joules, terms: [ac, bytes], dense_terms: [], transformer_terms: [] };
}

test("terms are picojoules, and arithmetic has no bytes", () => {
  expect(joulesOf(ac)).toBeCloseTo(0.9e-9, 20);
  expect(termsOf(energy(1, 1, 1), "spiking", "arithmetic")).toEqual([ac]);
  expect(termsOf(energy(1, 1, 1), "spiking", "with_data")).toEqual([ac, bytes]);
});

test("sums add joules and merge terms, and leave tokens as they were", () => {
  const token = energy(1, 2, 3);
  const total = sum([token, token, energy(3, 2, 1)]);
  expect(total.with_data).toEqual({ spiking: 5, dense: 6, transformer: 7 });
  expect(total.terms.map(({ count }) => count)).toEqual([3000, 30]);
  expect(ac.count).toBe(1000);
});

test.each([
  [2, 1, "loses", /^Spiking loses here: it takes 2 times/],
  [1, 4, "wins", /takes 25\u202f% of the energy/],
  [1, 1.01, "even", /the same/],
])("a verdict on %d against %d: %s", (spiking, dense, outcome, words) => {
  const said = verdict(energy(spiking, dense, 1), "with_data");
  expect(said.outcome).toBe(outcome);
  expect(said.text).toMatch(words);
});

test("no tokens, no verdict", () => {
  expect(verdict(sum([]), "arithmetic").text).toBe("");
});

test("the table has a row for each token", () => {
  const event = { position: 7, text: ",", milliseconds: 2, energy: energy(1, 2, 3) };
  const counts = { spikes_positive: Uint32Array.of(3, 4), spikes_negative: Uint32Array.of(1, 0) };
  const lines = energyCsv([{ ...event, ...counts } as TokenCost]).split("\r\n");
  expect(lines[0]).toContain("joules_with_data_transformer_estimate");
  expect(lines[1]).toBe('7,",",2,7,1,1,2,3,1,2,3');
});
