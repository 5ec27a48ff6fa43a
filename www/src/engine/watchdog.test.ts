import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LEAST, MOST, TIMES, UNKNOWN, Watchdog } from "./watchdog";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] }));
afterEach(() => void vi.useRealTimers());

function watched(): { dog: Watchdog; silences: number[] } {
  const silences: number[] = [];
  return { dog: new Watchdog((seconds) => silences.push(seconds)), silences };
}

test("silence is noticed once, and only while an answer is owed", () => {
  const { dog, silences } = watched();
  vi.advanceTimersByTime(1e6);
  dog.begin();
  vi.advanceTimersByTime(UNKNOWN * 1000 - 1);
  expect(silences).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(silences).toEqual([UNKNOWN]);
  vi.advanceTimersByTime(1e6);
  expect(silences).toEqual([UNKNOWN]);
  dog.begin();
  dog.end();
  vi.advanceTimersByTime(1e6);
  expect(silences).toEqual([UNKNOWN]);
});

test("who is quick is missed soon, and who is slow may be slow", () => {
  const { dog, silences } = watched();
  dog.begin();
  for (let token = 0; token < 100; token++) {
    vi.advanceTimersByTime(50);
    dog.sign();
  }
  expect(dog.limit).toBe(LEAST);
  vi.advanceTimersByTime(2000);
  dog.sign();
  expect(dog.limit).toBe(2 * TIMES);
  // The first burst of 16 tokens after single ones of two seconds.
  vi.advanceTimersByTime(32_000);
  dog.sign();
  expect(silences).toEqual([]);
  dog.end();
  // Between two jobs nothing is owed, so nothing is learnt.
  vi.advanceTimersByTime(1e6);
  dog.begin();
  vi.advanceTimersByTime(1000);
  dog.sign();
  expect(dog.limit).toBe(MOST);
});

test("what takes as long as it takes neither counts nor teaches", () => {
  const { dog, silences } = watched();
  dog.begin();
  vi.advanceTimersByTime(100);
  dog.sign();
  dog.excuse(Number.POSITIVE_INFINITY);
  vi.advanceTimersByTime(1e6);
  dog.sign();
  expect(dog.limit).toBe(LEAST);
  dog.excuse(UNKNOWN);
  vi.advanceTimersByTime((UNKNOWN - 1) * 1000);
  expect(silences).toEqual([]);
  vi.advanceTimersByTime(1000);
  expect(silences).toEqual([UNKNOWN]);
});
