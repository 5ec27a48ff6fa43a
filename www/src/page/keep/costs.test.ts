import { expect, test } from "vitest";
import { packCosts, unpackCosts } from "./costs";
import { costOf as cost } from "./costs.fake";
import { readCosts, writeCosts } from "./costs-json";

test("what comes back is what was packed", () => {
  const costs = [cost(9, "Hé"), cost(10, ""), cost(11, "“\n")];
  expect(unpackCosts(packCosts(costs))).toEqual(costs);
  expect(unpackCosts(packCosts([]))).toEqual([]);
});

test("a term that only some tokens have stays with those", () => {
  const [plain, more] = [cost(1, "a"), cost(2, "b")];
  more.energy.terms.push({ label: "window", class: "mul", count: 8, picojoules_each: 3.7 });
  expect(unpackCosts(packCosts([plain, more]))).toEqual([plain, more]);
  expect(readCosts(JSON.parse(JSON.stringify(writeCosts("a", [plain, more]))))).toEqual({
    answer: "a",
    costs: [plain, more],
  });
});
