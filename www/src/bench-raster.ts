// How many frames a second the raster draws, at the size that it is made for.
import "./style/tokens.css";
import { Raster } from "./pictures";

const NEURONS = 2000;
/** Micro-steps of a token; sixteen tokens are 512. */
const STEPS = 32;
const TOKENS = 48;
/** Places that hold a spike: half of them, in no pattern. */
const HALF = 1 << 15;

/** What was drawn while something moved. */
export interface Frames {
  frames_per_second: number;
  worst_ms: number;
}

/** Slides, and zooms in time, in neurons and far out, for `milliseconds` each; by the clock of the screen's own frames. */
export async function benchRaster(milliseconds: number): Promise<Record<string, Frames>> {
  const host = document.createElement("div");
  host.style.cssText = "width: 1000px; height: 640px; display: grid";
  document.body.append(host);
  const raster = new Raster(host);
  raster.shape({
    name: "bench",
    n_layers: 1,
    d_model: NEURONS,
    d_inner: NEURONS,
    d_ffn: NEURONS,
    vocab_size: 1,
    d_state: 1,
    n_heads: 1,
    window: 0,
    steps: [STEPS, STEPS, STEPS, STEPS],
    parameters: 0,
    weight_bytes: 0,
    state_bytes: 0,
    kv_bytes_per_token: 0,
  });
  let position = 0;
  const push = () => {
    const trains = new Int8Array(NEURONS * STEPS);
    for (let i = 0, hash = position + 1; i < trains.length; i++) {
      hash = (Math.imul(hash, 1_664_525) + 1_013_904_223) >>> 0;
      trains[i] = hash >>> 16 < HALF ? ((hash >>> 8) & 1) * 2 - 1 : 0;
    }
    raster.push({ position, layer: 0, site: "in_proj", steps: STEPS, neurons: NEURONS, trains }, "word");
    position += 1;
  };
  for (let token = 0; token < TOKENS; token++) push();
  const canvas = host.querySelector("canvas");
  if (!canvas) throw new Error("the raster has no canvas");
  canvas.focus();
  const press = (...keys: string[]) => {
    for (const key of keys) canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  };
  // In time and in neurons.
  const inward = () => press("+", ".");
  const outward = () => press("-", ",");
  const every = (count: number, act: (turn: number) => void) => (frame: number) => {
    if (frame % count === 0) act(frame / count);
  };
  await frames(500, () => {});
  const found: Record<string, Frames> = {};
  // Twenty tokens a second.
  found.sliding = await frames(milliseconds, every(3, push));
  const zooming = every(4, (turn) => (turn % 8 < 4 ? inward() : outward()));
  for (const [name, steps] of [
    ["zooming among all neurons", 0],
    ["zooming among a quarter of them", 4],
    ["zooming among few", 8],
  ] as const) {
    press("0");
    for (let step = 0; step < steps; step++) inward();
    await frames(500, () => {});
    found[name] = await frames(milliseconds, zooming);
  }
  raster.dispose();
  host.remove();
  return found;
}

/** Does something at every frame; returns how the frames came. */
function frames(milliseconds: number, act: (frame: number) => void): Promise<Frames> {
  return new Promise((resolve) => {
    const times: number[] = [];
    const frame = (now: number) => {
      times.push(now);
      const [first = now] = times;
      if (now - first < milliseconds) {
        act(times.length - 1);
        requestAnimationFrame(frame);
        return;
      }
      const gaps = times.slice(1).map((time, i) => time - (times[i] ?? time));
      resolve({ frames_per_second: (gaps.length * 1000) / (now - first), worst_ms: Math.max(...gaps) });
    };
    requestAnimationFrame(frame);
  });
}
