import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Mar } from "../mar";
import { AS_TRAINED, type Loss } from "../mar/types";
import type { Effect } from "../pictures";
import { TradeOff } from "./trade-off";

/** An engine that measures when it is told to. */
class Engine {
  asked = 0;
  stopped = 0;
  #answer: (loss: Loss) => void = () => {};
  readonly shape = { n_layers: 1, d_model: 4, d_inner: 4, d_ffn: 4, steps: [8, 8, 8, 8] };

  loss(): Promise<Loss> {
    this.asked += 1;
    return new Promise((resolve) => {
      this.#answer = resolve;
    });
  }

  stopIdle(): void {
    this.stopped += 1;
  }

  async answer(nats_per_token: number): Promise<void> {
    this.#answer({ nats_per_token, tokens: 1, ledger: { tokens: 1, spikes: 16, energy_pj: {} } } as Loss);
    await Promise.resolve();
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("window", globalThis);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function measuring() {
  const shown: Effect[] = [];
  const engine = new Engine();
  return { shown, engine, mar: engine as unknown as Mar, tradeOff: new TradeOff((effect) => shown.push(effect)) };
}

test("a dial that is turned while something goes first is measured as it was turned, once", async () => {
  const { shown, engine, mar, tradeOff } = measuring();
  tradeOff.ask(mar, AS_TRAINED);
  const goOn = tradeOff.giveWay(mar);
  expect(engine.stopped).toBe(1);
  tradeOff.ask(mar, { ...AS_TRAINED, steps: 2 });
  vi.runAllTimers();
  expect(engine.asked).toBe(0);
  goOn();
  vi.runAllTimers();
  expect(engine.asked).toBe(1);
  await engine.answer(2.5);
  // Sixteen neurons at two micro-steps: half of the places fired.
  expect(shown).toMatchObject([{ nats: 2.5, rate: 0.5 }]);
});

test("what was measured while the dial turned belongs to neither setting", async () => {
  const { shown, engine, mar, tradeOff } = measuring();
  tradeOff.ask(mar, AS_TRAINED);
  vi.runAllTimers();
  tradeOff.ask(mar, { ...AS_TRAINED, steps: 1 });
  await engine.answer(1);
  expect(shown).toEqual([]);
  vi.runAllTimers();
  expect(engine.asked).toBe(2);
  await engine.answer(3);
  expect(shown).toMatchObject([{ nats: 3, rate: 1 }]);
});
