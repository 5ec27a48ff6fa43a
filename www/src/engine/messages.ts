// Everything that page and worker say to each other.
import type { EngineEvent, Measurement } from "../../pkg/mar";
import type {
  Backend,
  BackendChoice,
  ChatOptions,
  Controls,
  Loss,
  Message,
  Progress,
  Replay,
  Replayed,
  Reply,
  Shape,
  Storing,
  Watch,
} from "../mar/types";

export type {
  Backend,
  BackendChoice,
  ChatOptions,
  EngineEvent,
  Loss,
  Measurement,
  Message,
  Progress,
  Reply,
  Shape,
  Storing,
};

/** A model that is ready. */
export interface Ready {
  shape: Shape;
  backend: BackendChoice;
}

/** Where a model comes from. */
export interface Source {
  /** Its folder. */
  url: string;
  /** Of its manifest, where it must be this one. */
  sha256: string | undefined;
  /** Whether it is kept for later visits. */
  keep: boolean;
}

/** What the worker does, one at a time: what it is asked with, and what it answers. */
export interface Jobs {
  load: { ask: { source: Source; backend: Backend }; answer: Ready };
  /** `said` are the tokens that another engine has begun the reply with. */
  chat: { ask: { messages: Message[]; options: ChatOptions; said?: number[] }; answer: Reply };
  replay: { ask: Replay; answer: Replayed };
  loss: { ask: { text: string }; answer: Loss };
  save: { ask: null; answer: Uint8Array<ArrayBuffer> };
  restore: { ask: Uint8Array; answer: null };
  reset: { ask: null; answer: null };
  /** The likeliest token after each of these. */
  choices: { ask: Uint32Array; answer: Uint32Array };
  measure: { ask: { prompt: number; tokens: number }; answer: Measurement };
}

/** The name of a job. */
export type Job = keyof Jobs;

/** What may be turned at any moment, also while a job is done. */
export type Dial = { name: "set"; value: Controls } | { name: "watch"; value: Watch | null };

/** From the page to the worker. */
export type ToEngine =
  | { [J in Job]: { type: "job"; job: J; ask: Jobs[J]["ask"] } }[Job]
  | { type: "turn"; id: number; dial: Dial }
  /** Holds the download of a model, or lets it go on. */
  | { type: "pause"; paused: boolean }
  /** Ends the job, with what there is of it. */
  | { type: "stop" };

/** From the worker to the page. `done` and `failed` end the job; `turned` answers `turn`. */
export type FromEngine =
  | { type: "progress"; progress: Progress }
  | { type: "storing"; storing: Storing }
  | { type: "event"; event: EngineEvent }
  /** Something was done that nobody is told of. */
  | { type: "alive" }
  /** What comes now takes as long as the network, or as a GPU that gets ready. */
  | { type: "excuse"; why: "fetching" | "building" }
  | { type: "done"; answer: Jobs[Job]["answer"] }
  /** `broken`: the worker is of no more use. */
  | { type: "failed"; message: string; broken: boolean }
  | { type: "turned"; id: number; problem?: string };

/** The memory of all typed arrays in a message, to be handed over instead of copied. */
export function memoryOf(value: unknown, found: Transferable[] = []): Transferable[] {
  if (ArrayBuffer.isView(value)) {
    found.push(value.buffer as ArrayBuffer);
  } else if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) memoryOf(part, found);
  }
  return found;
}
