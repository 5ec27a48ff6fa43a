// Speed without a page around it: bench/run.mjs calls `marBench` and `rasterBench`, and prints what they return.
import { benchRaster } from "./bench-raster";
import { EngineClient } from "./engine/client";
import type { Measurement } from "./engine/messages";

/** Loads the model at `url`, and times a prompt of `prompt` tokens and `tokens` decoded ones. */
async function marBench(url: string, prompt: number, tokens: number): Promise<Measurement & { load_ms: number }> {
  const engine = new EngineClient();
  try {
    const start = performance.now();
    // From the server every time.
    const source = { url: new URL(url, location.href).href, sha256: undefined, keep: false };
    await engine.run("load", { source, backend: "cpu" });
    const load_ms = performance.now() - start;
    return { load_ms, ...(await engine.run("measure", { prompt, tokens })) };
  } finally {
    engine.close();
  }
}

Object.assign(window, { marBench, rasterBench: benchRaster });
