// The words of the package: everything that `Mar` takes and gives. No imports, so that pictures and pages can share it.

/** Which hardware is asked to run a model. `auto` takes a GPU where WebGPU offers one that is not software. */
export type Backend = "auto" | "cpu" | "webgpu";

/** What runs a model, and why: a sentence that also says why WebGPU was not taken, where it was not. */
export interface BackendChoice {
  device: "cpu" | "webgpu";
  /** As in a title: "the CPU, simd128". */
  name: string;
  why: string;
}

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

/** A place in a layer where neurons fire into a projection. */
export type Site = "in_proj" | "out_proj" | "gate_up" | "down";

/** The sites, in the order in which a token passes them. */
export const SITES: readonly Site[] = ["in_proj", "out_proj", "gate_up", "down"];

/** The network's shape. */
export interface Shape {
  name: string;
  n_layers: number;
  d_model: number;
  d_inner: number;
  d_ffn: number;
  vocab_size: number;
  d_state: number;
  n_heads: number;
  /** Positions of the window branch; 0 where there is none. */
  window: number;
  /** T, micro-steps by site, in the order of `SITES`. */
  steps: [number, number, number, number];
  parameters: number;
  weight_bytes: number;
  /** Of a conversation, whatever its length. */
  state_bytes: number;
  /** What a transformer of the same width and depth adds to its key-value cache with every token, in 16-bit numbers. */
  kv_bytes_per_token: number;
}

/** Inputs (neurons) of a site. */
export function neuronsOf(shape: Shape, site: Site): number {
  return { in_proj: shape.d_model, out_proj: shape.d_inner, gate_up: shape.d_model, down: shape.d_ffn }[site];
}

/** Counted operations by class, and what each is priced at. */
export interface Term {
  /** What does it: "projections: spikes × fan-out". */
  label: string;
  class: "ac" | "mac" | "mul" | "weight_bytes" | "state_bytes";
  count: number;
  /** An estimate: Horowitz, ISSCC 2014, 45 nm. */
  picojoules_each: number;
}

/** One price list, in joules, for this network, for its dense twin, and for a transformer of the same size. Estimates. */
export interface Joules {
  spiking: number;
  dense: number;
  transformer: number;
}

/** What some tokens cost. Estimates, in joules. */
export interface Energy {
  /** Arithmetic alone, as in the paper. */
  arithmetic: Joules;
  /** With moving weights and state. */
  with_data: Joules;
  /** What `spiking` is the sum of: all of them with data, classes `ac`, `mac` and `mul` without. */
  terms: Term[];
  /** What `dense` is the sum of. */
  dense_terms: Term[];
  /** What `transformer` is the sum of. */
  transformer_terms: Term[];
}

/** What one token of a reply took. Sent for every token; those of a prompt are only summed. */
export interface TokenEvent {
  /** Place in the conversation, 0 = first token of the prompt. */
  position: number;
  token: number;
  /** The text that it completes: "" inside a character of several tokens, or where a stop string may have begun. */
  text: string;
  /** Of computing it, as the worker's clock measured it. A GPU computes several at once: the first takes the time of all. */
  milliseconds: number;
  // Arrays of counts are [n_layers · 4], layer-major, sites in the order of `SITES`.
  spikes_positive: Uint32Array;
  spikes_negative: Uint32Array;
  /** Neurons that fired at least once. */
  active: Uint32Array;
  neurons: Uint32Array;
  /** Accumulates of the projection: spikes × fan-out. */
  ac: Float64Array;
  /** Multiply-accumulates on the way to the site's currents: norms, convolution, scan, attention. Without the head's. */
  mac: Float64Array;
  /** Joules of the site and the way to it, arithmetic alone. With the head's (`Energy.terms`) they sum to the token's. */
  joules_arithmetic: Float64Array;
  /** The same, with moving weights and state. */
  joules_with_data: Float64Array;
  /** The token's in all. */
  energy: Energy;
}

/** Spikes of one token at one layer and site: what the projection consumed. */
export interface Spikes {
  position: number;
  layer: number;
  site: Site;
  /** T under the controls of that moment. */
  steps: number;
  neurons: number;
  /** [neurons · steps], neuron-major: -1, 0, 1. */
  trains: Int8Array<ArrayBuffer>;
}

/** Membrane of one neuron over the micro-steps of one token. */
export interface Membrane {
  position: number;
  layer: number;
  site: Site;
  neuron: number;
  /** V under the controls of that moment, in the current's units. */
  threshold: number;
  /** Whether it was muted: then `h` is what it would have done, and `spikes` are none. */
  muted: boolean;
  /** [steps], before the reset, in the current's units: it fires where |h| ≥ threshold. */
  h: Float32Array<ArrayBuffer>;
  /** [steps]: -1, 0, 1. */
  spikes: Int8Array<ArrayBuffer>;
}

/** Neurons to silence: all, or those of a layer, a site, a range (both ends included). */
export interface Mute {
  layer?: number;
  site?: Site;
  neurons?: [first: number, last: number];
}

/** What may be turned while the network runs; acts on the next token. */
export interface Controls {
  /** Multiplies every threshold; 1 = as trained. */
  threshold_scale: number;
  /** Micro-steps: at most this many at every site; 0 = as trained. */
  steps: number;
  muted: Mute[];
}

/** As trained. */
export const AS_TRAINED: Controls = { threshold_scale: 1, steps: 0, muted: [] };

/** What is watched: the spikes of a layer's site, and one neuron's membrane. */
export interface Watch {
  layer: number;
  site: Site;
  neuron?: number;
}

/** Whose spikes are asked for: the last token's, or those of the token at `position`. */
export interface Probe {
  layer: number;
  site: Site;
  position?: number;
}

/** Tokens that are computed once more: `count` from `first` on; without them the last one. */
export interface Replay extends Watch {
  first?: number;
  count?: number;
}

/** What a replay showed, a record for each token. */
export interface Replayed {
  spikes: Spikes[];
  /** Of the neuron, where one was named. */
  membranes: Membrane[];
}

/** Times that were measured in the last reply, and sizes. */
export interface Stats {
  /** As in `BackendChoice.name`. */
  backend: string;
  why: string;
  prompt_tokens: number;
  /** Tokens of the prompt whose state was there from before. */
  reused_tokens: number;
  reply_tokens: number;
  prefill_tokens_per_second: number;
  decode_tokens_per_second: number;
  time_to_first_token_ms: number;
  context_tokens: number;
  state_bytes: number;
  /** Of the engine's WebAssembly; what is on a GPU is not in it. */
  memory_bytes: number;
  /** Tokens that the hardware computes at once at most: 1 on the CPU. */
  burst: number;
}

/** What some tokens took. */
export interface LedgerSummary {
  tokens: number;
  /** Of all sites. */
  spikes: number;
  /** 32-bit accumulates. */
  ac: number;
  /** 32-bit multiply-accumulates. */
  mac: number;
  /** Of weights and state moved. */
  bytes: number;
  energy_pj: EnergyEstimate;
}

/** Picojoules: an estimate by the prices of 45 nm arithmetic. Browsers cannot measure joules. */
export interface EnergyEstimate {
  arithmetic: number;
  with_memory: number;
  dense_twin: number;
  dense_twin_with_memory: number;
  transformer: number;
  transformer_with_memory: number;
}

/** What the last reply took, and the part of its prompt that was computed for it. */
export interface Ledgers {
  prompt: LedgerSummary;
  reply: LedgerSummary;
  /** `reply`'s energy with all its terms. */
  energy: Energy;
}

/** A finished reply. */
export interface Reply {
  text: string;
  /** The tokens decoded, an end token included. */
  tokens: number[];
  finish_reason: "stop" | "length" | "cancelled";
  stats: Stats;
  ledger: Ledgers;
}

/** How good the network is at a text: -ln of the probability it gives to each next token, averaged. */
export interface Loss {
  nats_per_token: number;
  tokens: number;
  /** What it took. */
  ledger: LedgerSummary;
}

/** Where a model is kept between visits: the browser's private files, its Cache API, or nowhere. */
export type Keeper = "opfs" | "cache" | "memory";

/** How a model that is being loaded is kept. */
export interface Storing {
  keeper: Keeper;
  /** Whether there is no room for it: deleting other models makes some. */
  full: boolean;
  /** Why it is not kept; "" where it is. */
  why: string;
}

/** How much of a model has come. */
export interface Progress {
  /** Bytes. */
  received: number;
  total: number;
  /** Of `received`, those whose hashes are right. */
  verified: number;
  /** Of `verified`, those that were in the browser's storage; the others came from the network. */
  stored: number;
  /** From the network, in the last seconds. */
  bytes_per_second: number;
  /** At that rate; `null` while nothing comes. */
  seconds_left: number | null;
  paused: boolean;
}

/** How much of a prompt has been read, in tokens. */
export interface Prefill {
  done: number;
  total: number;
}

/** What `Mar.on` tells of. */
export interface Events {
  /** While the model comes. */
  progress: Progress;
  /** Once while it is loaded, and again where it cannot be kept on. */
  storing: Storing;
  /** While a prompt is read. */
  prefill: Prefill;
  token: TokenEvent;
  /** Of what is watched, for every token of a reply, after its `token`. */
  spikes: Spikes;
  membrane: Membrane;
  /** After a reply. */
  stats: Stats;
  /**
   * The engine broke or hung and was started again, or the GPU was lost and another took over: a sentence for the person. Not
   * told where a reply failed because of it, whose error says so.
   */
  trouble: string;
}

/** How a model is loaded. */
export interface LoadOptions {
  backend?: Backend;
  /** The sha-256 of the model's manifest.json, as 64 hexadecimal digits: any other model is refused. */
  sha256?: string;
  /** Whether the model is kept for later visits, where the browser allows it; `true` if not given. */
  keep?: boolean;
  /** Breaks the download off. What was kept of it is there at the next load. */
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

/** A part of a streamed completion, as in the OpenAI API. */
export interface CompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: [{ index: 0; delta: { role?: "assistant"; content?: string }; finish_reason: "stop" | "length" | null }];
}

/** A whole completion, as in the OpenAI API. */
export interface Completion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: [{ index: 0; message: { role: "assistant"; content: string }; finish_reason: "stop" | "length" }];
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
}

/** A request in the OpenAI shape. */
export interface CompletionRequest extends Omit<ChatOptions, "stop"> {
  messages: Message[];
  stream?: boolean;
  stop?: string | string[];
}
