// How many frames a second the raster draws, at the size that it is made for.
import "./style/tokens.css";
import { Raster } from "./pictures";

const NEURONS = 2000;
/** Micro-steps of a token; sixteen tokens are 512. */
const STEPS = 32;
const TOKENS = 48;
/** Places that hold a spike: half of them, in no pattern. */
const HALF = 1 << 15;
/** A movement begins this long before it is watched, in milliseconds. */
const SETTLE = 500;

/** What was drawn while something moved. */
export interface Frames {
  frames: number;
  frames_per_second: number;
  worst_ms: number;
}

/** Steps inward before a zoom is watched. */
const ZOOMS = { "zooming among all neurons": 0, "zooming among a quarter of them": 4, "zooming among few": 8 } as const;

/** What moves: tokens come, twenty a second, or the view zooms in time and in neurons. */
export type Movement = "sliding" | keyof typeof ZOOMS;

/** A raster full of spikes that can be set in motion. */
export class RasterBench {
  /** All of them, in the order in which they are watched. */
  readonly movements: readonly Movement[] = ["sliding", ...(Object.keys(ZOOMS) as (keyof typeof ZOOMS)[])];
  readonly #raster: Raster;
  readonly #canvas: HTMLCanvasElement;
  /** Made before anything is timed. */
  readonly #trains = Array.from({ length: TOKENS }, (_, token) => trainsOf(token));
  #position = 0;

  constructor() {
    const host = document.createElement("div");
    host.style.cssText = "width: 1000px; height: 640px; display: grid";
    document.body.append(host);
    this.#raster = new Raster(host);
    this.#raster.shape({
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
    for (let token = 0; token < TOKENS; token++) this.#push();
    const canvas = host.querySelector("canvas");
    if (!canvas) throw new Error("the raster has no canvas");
    this.#canvas = canvas;
    canvas.focus();
  }

  /** Brings the view to where the movement is watched, and lets it rest there. */
  async prepare(movement: Movement): Promise<void> {
    if (movement !== "sliding") {
      this.#press("0");
      for (let step = 0; step < ZOOMS[movement]; step++) this.#zoom("in");
    }
    await frames(SETTLE, () => {});
  }

  /** Moves for `milliseconds`; returns how frames came, by the clock of the screen's own. */
  watch(movement: Movement, milliseconds: number): Promise<Frames> {
    if (movement === "sliding")
      return frames(
        milliseconds,
        every(3, () => this.#push()),
      );
    return frames(
      milliseconds,
      every(4, (turn) => this.#zoom(turn % 8 < 4 ? "in" : "out")),
    );
  }

  #push(): void {
    const trains = this.#trains[this.#position % TOKENS] as Int8Array<ArrayBuffer>;
    const position = this.#position;
    this.#raster.push({ position, layer: 0, site: "in_proj", steps: STEPS, neurons: NEURONS, trains }, "word");
    this.#position += 1;
  }

  /** In time and in neurons. */
  #zoom(way: "in" | "out"): void {
    this.#press(...(way === "in" ? ["+", "."] : ["-", ","]));
  }

  #press(...keys: string[]): void {
    for (const key of keys) this.#canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  }
}

function trainsOf(token: number): Int8Array<ArrayBuffer> {
  const trains = new Int8Array(NEURONS * STEPS);
  for (let i = 0, hash = token + 1; i < trains.length; i++) {
    hash = (Math.imul(hash, 1_664_525) + 1_013_904_223) >>> 0;
    trains[i] = hash >>> 16 < HALF ? ((hash >>> 8) & 1) * 2 - 1 : 0;
  }
  return trains;
}

/** Acts in one of `count` frames. */
function every(count: number, act: (turn: number) => void): (frame: number) => void {
  return (frame) => {
    if (frame % count === 0) act(frame / count);
  };
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
      const frames_per_second = (gaps.length * 1000) / (now - first);
      resolve({ frames: gaps.length, frames_per_second, worst_ms: Math.max(...gaps) });
    };
    requestAnimationFrame(frame);
  });
}
