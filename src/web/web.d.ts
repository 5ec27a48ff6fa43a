import type {
  Backend,
  BackendChoice,
  ChatOptions,
  Controls,
  Loss,
  Membrane,
  Message,
  Replay,
  Replayed,
  Reply,
  Shape,
  Spikes,
  TokenEvent,
  Watch,
} from "../src/mar/types";

/** What happens while the engine works. */
export type EngineEvent =
  | { type: "prefill"; done: number; total: number }
  | { type: "token"; token: TokenEvent; spikes?: Spikes; membrane?: Membrane }
  /** Text that was held back, after the last token. */
  | { type: "text"; text: string }
  /** Another engine has taken over from a GPU that was lost, as `why` says. */
  | { type: "moved"; backend: BackendChoice; why: string }
  /** Tokens of a loss or a replay. */
  | { type: "work"; done: number; total: number };

/** Told of every event. `false`, or a promise of it, stops the work. */
export type Listener = (event: EngineEvent) => boolean | Promise<boolean>;

/** Speed without text: a made-up prompt and a greedy continuation. */
export interface Measurement {
  backend: string;
  prefill_tokens_per_second: number;
  decode_tokens_per_second: number;
  /** The share of neurons that fired at least once, over all sites. */
  active: number;
  tokens: number[];
}
