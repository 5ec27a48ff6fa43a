import { expect, test } from "vitest";
import { fire } from "./neuron";

/** As src/cpu/fire.rs says it: with tau = 1 the count is trunc(I / V), clamped to ±T. */
test("the tour's neuron counts as the network's do", () => {
  for (const threshold of [0.25, 0.5, 1, 2]) {
    for (let current = -3; current <= 3; current += 0.125) {
      const count = fire(current, threshold, 8).spikes.reduce<number>((sum, spike) => sum + spike, 0);
      // Plus zero: -0 is not 0 to a test.
      expect(count + 0).toBe(Math.max(-8, Math.min(8, Math.trunc(current / threshold))) + 0);
    }
  }
});
