import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readMetrics } from "./metrics";

function shipped(model: string): unknown {
  return JSON.parse(readFileSync(join(__dirname, "../../../models", model, "metrics.json"), "utf8"));
}

test("a model of this repository says what it is and what was measured", () => {
  const metrics = readMetrics(shipped("mar-smollm2-135m"));
  expect(metrics).toMatchObject({ licence: "Apache-2.0", teacher: "SmolLM2-135M-Instruct" });
  expect(Object.keys(metrics)).toHaveLength(12);
  expect(metrics.lossRatio).toBeCloseTo(1.056, 2);
  expect(metrics.firingRate).toBeLessThan(metrics.active ?? 0);
});

test("what is absent is not shown, and nothing is made up for it", () => {
  expect(readMetrics({ parameters: 10, spiking_val_loss: 3 })).toEqual({ parameters: 10 });
  expect(readMetrics({ dense_val_loss: 0, spiking_val_loss: 3 })).toEqual({});
  expect(readMetrics(undefined)).toEqual({});
});

test("a file that says something else in these places says nothing", () => {
  for (const json of [null, 7, "text", [], { parameters: "many", firing_rate: 0.5, energy_pj_per_token: null }])
    expect(readMetrics(json)).toEqual({});
  expect(readMetrics({ licence: {}, teacher: "  ", parameters: 1e300, active: { mean: Number.NaN } })).toEqual({});
  expect(readMetrics({ description: "x".repeat(10_000) }).description).toHaveLength(301);
});
