/** Who speaks. */
export type Role = "system" | "user" | "assistant";

/** One turn of a chat. */
export interface Message {
  role: Role;
  content: string;
}

/** How a reply is made. What is not given comes from the model's generation_config.json. */
export interface ChatOptions {
  /** 0 takes the likeliest token every time. */
  temperature?: number;
  top_k?: number;
  top_p?: number;
  min_p?: number;
  repetition_penalty?: number;
  /** The same seed gives the same reply on the same backend. */
  seed?: number;
  max_tokens?: number;
  /** Texts that end the reply. */
  stop?: string[];
}

/** What happens while a reply is made. */
export type ChatEvent =
  | { type: "prefill"; done: number; total: number }
  | { type: "text"; text: string; tokens: number };

/** Told of every event. `false`, or a promise of it, stops the reply. */
export type ChatListener = (event: ChatEvent) => boolean | Promise<boolean>;

/** Estimated picojoules: operations counted from spikes, priced for a 45 nm chip. No browser can measure joules. */
export interface EnergyEstimate {
  arithmetic: number;
  with_memory: number;
  dense_twin: number;
  transformer: number;
}

/** What some tokens took. */
export interface LedgerSummary {
  tokens: number;
  spikes: number;
  ac: number;
  mac: number;
  bytes: number;
  energy_pj: EnergyEstimate;
}

/** Times that were measured, and sizes. */
export interface ReplyStats {
  backend: string;
  prompt_tokens: number;
  /** Tokens of the prompt whose state was there from before. */
  reused_tokens: number;
  prefill_tokens_per_second: number;
  decode_tokens_per_second: number;
  time_to_first_token_ms: number;
  state_bytes: number;
}

/** A finished reply. */
export interface ChatReply {
  text: string;
  tokens: number[];
  finish_reason: "stop" | "length" | "cancelled";
  stats: ReplyStats;
  ledger: { prompt: LedgerSummary; reply: LedgerSummary };
}

/** Speed without text: a made-up prompt and a greedy continuation. */
export interface Measurement {
  backend: string;
  prefill_tokens_per_second: number;
  decode_tokens_per_second: number;
  /** The share of neurons that fired at least once, over all sites. */
  active: number;
  tokens: number[];
}

/** Which hardware is asked to run a model. */
export type Backend = "auto" | "cpu" | "webgpu";

/** What runs a model, and why. */
export interface BackendChoice {
  device: "cpu" | "webgpu";
  name: string;
  why: string;
}

/** A model's name and shape. */
export interface ModelInfo {
  name: string;
  vocab_size: number;
  n_layers: number;
  d_model: number;
  d_ffn: number;
}
