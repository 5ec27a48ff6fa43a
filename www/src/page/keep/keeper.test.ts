import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Keeper } from "./keeper";

let heard: Map<string, () => void>;

beforeEach(() => {
  vi.useFakeTimers();
  heard = new Map();
  vi.stubGlobal("window", globalThis);
  vi.stubGlobal("addEventListener", (name: string, listener: () => void) => heard.set(name, listener));
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A store that says when it has written. */
function writing() {
  const begun: (() => void)[] = [];
  const keeper = new Keeper(() => new Promise<void>((resolve) => begun.push(resolve)));
  return { begun, keeper };
}

test("what grows all the time is written twice a second, and never twice at once", async () => {
  const { begun, keeper } = writing();
  for (let millisecond = 0; millisecond < 2000; millisecond += 20) {
    keeper.touch();
    await vi.advanceTimersByTimeAsync(20);
    // The disk takes its time.
    if (millisecond % 200 === 0) begun.at(-1)?.();
  }
  expect(begun.length).toBeGreaterThanOrEqual(3);
  expect(begun.length).toBeLessThanOrEqual(5);
});

test("the last change is written, also when it came during a write, and flush waits for it", async () => {
  const { begun, keeper } = writing();
  keeper.touch();
  await vi.advanceTimersByTimeAsync(1000);
  keeper.touch();
  keeper.touch();
  const flushed = vi.fn();
  void keeper.flush().then(flushed);
  begun[0]?.();
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toHaveLength(2);
  expect(flushed).not.toHaveBeenCalled();
  begun[1]?.();
  await vi.advanceTimersByTimeAsync(0);
  expect(flushed).toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(5000);
  expect(begun).toHaveLength(2);
});

test("a page that is hidden writes at once", async () => {
  const { begun, keeper } = writing();
  keeper.touch();
  await vi.advanceTimersByTimeAsync(1000);
  begun[0]?.();
  await vi.advanceTimersByTimeAsync(0);
  heard.get("visibilitychange")?.();
  expect(begun).toHaveLength(1);
  keeper.touch();
  heard.get("pagehide")?.();
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toHaveLength(2);
});
