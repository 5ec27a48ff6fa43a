// The likeliest token after each of 280 given ones: in WebAssembly and on WebGPU as natively (tests/engine/choices.rs).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@playwright/test";
import type { Backend } from "../../www/src/mar";

const GOLDEN = join(__dirname, "../golden");

type Choices = Record<string, { tokens: number[]; choices: number[] }>;

const EXPECTED = JSON.parse(readFileSync(join(GOLDEN, "choices.json"), "utf8")) as Choices;

for (const [backend, models] of [
  ["cpu", ["tiny-window", "tiny-hybrid", "mar-smalltalk"]],
  ["webgpu", ["tiny-window", "tiny-hybrid"]],
] as const satisfies [Backend, string[]][]) {
  test(`${backend} chooses the tokens that the native engine chooses`, async ({ page }) => {
    await page.goto("/bench.html");
    await page.waitForFunction(() => "marChoices" in window);
    for (const model of models) {
      const { tokens, choices } = EXPECTED[model] ?? { tokens: [], choices: [] };
      expect(choices.length).toBeGreaterThanOrEqual(256);
      const found = await page.evaluate(
        ([url, backend, tokens]) =>
          (window as unknown as { marChoices: (...of: [string, string, number[]]) => Promise<number[]> }).marChoices(
            url,
            backend,
            tokens,
          ),
        [model.startsWith("tiny-") ? `golden/${model}/` : `models/${model}/`, backend, tokens] as const,
      );
      const differ = choices.filter((choice, position) => choice !== found[position]).length;
      console.log(`${model} on ${backend} in the browser: ${differ} of ${choices.length} choices differ`);
      expect(found).toEqual(choices);
    }
  });
}
