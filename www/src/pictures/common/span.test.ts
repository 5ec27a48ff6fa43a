import { expect, test } from "vitest";
import { confine, glide, pan, reveal, ticks, zoom } from "./span";

const whole = { start: 0, length: 1000 };

test("a span stays inside the whole", () => {
  expect(confine({ start: -20, length: 100 }, whole, 8)).toEqual({ start: 0, length: 100 });
  expect(confine({ start: 990, length: 100 }, whole, 8)).toEqual({ start: 900, length: 100 });
  expect(confine({ start: 10, length: 5000 }, whole, 8)).toEqual(whole);
  expect(confine({ start: 10, length: 1 }, whole, 8)).toEqual({ start: 10, length: 8 });
});

test("a whole shorter than the least length is seen whole", () => {
  expect(confine({ start: 3, length: 1 }, { start: 2, length: 4 }, 8)).toEqual({ start: 2, length: 4 });
});

test("zooming keeps the anchor in place", () => {
  const seen = zoom({ start: 100, length: 200 }, 0.5, 150);
  expect(seen.length).toBe(100);
  expect((150 - seen.start) / seen.length).toBeCloseTo((150 - 100) / 200);
});

test("panning and revealing move, and do not zoom", () => {
  expect(pan({ start: 5, length: 10 }, -3)).toEqual({ start: 2, length: 10 });
  expect(reveal({ start: 0, length: 10 }, 5)).toEqual({ start: 0, length: 10 });
  expect(reveal({ start: 0, length: 10 }, 25)).toEqual({ start: 15, length: 10 });
  expect(reveal({ start: 50, length: 10 }, 25, 2)).toEqual({ start: 23, length: 10 });
});

test("gliding does not depend on the frame rate", () => {
  const [from, to] = [
    { start: 0, length: 10 },
    { start: 100, length: 30 },
  ];
  const once = glide(from, to, 32, 40);
  const twice = glide(glide(from, to, 16, 40), to, 16, 40);
  expect(twice.start).toBeCloseTo(once.start, 9);
  expect(twice.length).toBeCloseTo(once.length, 9);
  expect(glide(from, to, 40, 40).start).toBeCloseTo(50, 9);
});

test.each([
  [0, 100, 5, [0, 20, 40, 60, 80, 100]],
  [-1, 1, 4, [-1, -0.5, 0, 0.5, 1]],
  [0, 0.3, 3, [0, 0.1, 0.2, 0.3]],
  [3, 3, 3, []],
])("ticks of %d to %d", (low, high, count, expected) => {
  expect(ticks(low, high, count)).toEqual(expected);
});
