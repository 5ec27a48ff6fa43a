// Speed and agreement without a page around them: bench/run.mjs calls `marBench` and `RasterBench`, and prints what they
// return; `marChoices` is what tests/engine/choices.rs has for the native backends.
import { RasterBench } from "./bench-raster";
import { EngineClient } from "./engine/client";
import type { Backend, Measurement } from "./engine/messages";

/** Loads the model at `url`, lets `work` work with it, and says how long the loading took. */
async function withModel<T>(
  url: string,
  backend: Backend,
  work: (engine: EngineClient) => Promise<T>,
): Promise<[T, number]> {
  const engine = new EngineClient();
  try {
    const start = performance.now();
    // From the server every time.
    const source = { url: new URL(url, location.href).href, sha256: undefined, keep: false };
    await engine.run("load", { source, backend });
    const load_ms = performance.now() - start;
    return [await work(engine), load_ms];
  } finally {
    engine.close();
  }
}

/** Times a prompt of `prompt` tokens and `tokens` decoded ones. */
async function marBench(url: string, prompt: number, tokens: number): Promise<Measurement & { load_ms: number }> {
  const [measured, load_ms] = await withModel(url, "cpu", (engine) => engine.run("measure", { prompt, tokens }));
  return { load_ms, ...measured };
}

/** The likeliest token after each of these. */
async function marChoices(url: string, backend: Backend, tokens: number[]): Promise<number[]> {
  const [choices] = await withModel(url, backend, (engine) => engine.run("choices", Uint32Array.from(tokens)));
  return [...choices];
}

Object.assign(window, { marBench, marChoices, RasterBench });
