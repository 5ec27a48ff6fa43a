import { expect, test } from "vitest";
import { formatBytes, formatChange, formatCount, formatPercent, formatSi, formatToken } from "./units";

const narrow = (text: string) => text.replaceAll("\u202f", " ");

test.each([
  [12.3e-6, "J", "12.3 µJ"],
  [1.2345e-3, "J", "1.23 mJ"],
  [999.9e-9, "J", "1 µJ"],
  [999e-9, "J", "999 nJ"],
  [1, "J", "1 J"],
  [1000, "B", "1 kB"],
  [-0.25, "V", "-250 mV"],
  [0, "J", "0 J"],
  [2e-18, "J", "0.002 fJ"],
  [3e18, "B", "3,000 PB"],
  [Number.NaN, "J", "–"],
])("SI: %d %s", (value, unit, text) => {
  expect(narrow(formatSi(value, unit))).toBe(text);
});

test("bytes, counts and shares", () => {
  expect(narrow(formatBytes(1_572_864))).toBe("1.57 MB");
  expect(formatCount(1234567.2)).toBe("1,234,567");
  expect(narrow(formatPercent(0.1234))).toBe("12.3 %");
  expect(formatPercent(Number.NaN)).toBe("–");
});

test("changes have a sign", () => {
  expect(narrow(formatChange(1.25, 1))).toBe("+25 %");
  expect(narrow(formatChange(0.5, 1))).toBe("−50 %");
  expect(narrow(formatChange(1, 1))).toBe("±0 %");
  expect(formatChange(1, 0)).toBe("–");
});

test("a token's spaces can be seen", () => {
  expect(formatToken(" cat\n")).toBe("␣cat⏎");
  expect(formatToken("")).toBe("∅");
});
