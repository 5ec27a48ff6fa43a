import { expect, test } from "vitest";
import { crossing, reach } from "./cache";

test("the cache is larger from the crossing on", () => {
  expect(crossing(1000, 10)).toBe(100);
  expect(crossing(1001, 10)).toBe(101);
});

test("the axis has room for both, and does not change with every token", () => {
  expect(reach(0, 10)).toBe(128);
  expect(reach(900, 10)).toBe(2048);
  expect(reach(905, 10)).toBe(reach(900, 10));
  expect(reach(10, 3000)).toBe(8192);
});
