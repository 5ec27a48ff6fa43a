// A spiking language model in a page: class Mar, which is all that a page needs.
import type { EngineEvent, Job, Jobs } from "../engine/messages";
import { create } from "./completions";
import { Emitter } from "./emitter";
import { Runner } from "./runner";
import type {
  BackendChoice,
  ChatOptions,
  Completion,
  CompletionChunk,
  CompletionRequest,
  Controls,
  Events,
  Ledgers,
  LoadOptions,
  Loss,
  Message,
  Probe,
  Progress,
  Replay,
  Replayed,
  Reply,
  Shape,
  Spikes,
  Stats,
  Storing,
  Watch,
} from "./types";

/** The OpenAI shape of a chat. */
export interface Completions {
  create(request: CompletionRequest & { stream: true }): Promise<AsyncIterable<CompletionChunk>>;
  create(request: CompletionRequest & { stream?: false }): Promise<Completion>;
  create(request: CompletionRequest): Promise<Completion | AsyncIterable<CompletionChunk>>;
}

/**
 * A model with one conversation, in a worker of its own. Calls that compute are done one after the other. When the engine
 * breaks or hangs, another takes its place, and a reply goes on where it was (`trouble` tells of it).
 */
export class Mar {
  /** When the model can be used; fails with a sentence where it cannot be loaded. */
  readonly ready: Promise<Mar>;
  /** As the OpenAI library has it. */
  readonly chat: { readonly completions: Completions };
  /** The conversation as bytes: for the same model, on any backend. */
  readonly state: { save(): Promise<Uint8Array<ArrayBuffer>>; load(bytes: Uint8Array): Promise<void> };
  readonly #events = new Emitter<Events>();
  readonly #runner: Runner;
  #shape: Shape | undefined;
  #backend: BackendChoice | undefined;
  #stats: Stats | undefined;
  #ledger: Ledgers | undefined;
  /** What was watched of the newest token. */
  #spikes: Spikes | undefined;

  /** Loads the model whose folder is at `url`, which may be relative to the page. */
  static async load(url: string | URL, options: LoadOptions = {}): Promise<Mar> {
    return await Mar.open(url, options).ready;
  }

  /** As `load`, but gives the object at once, so that listeners hear everything. */
  static open(url: string | URL, options: LoadOptions = {}): Mar {
    return new Mar(new URL(url, document.baseURI).href, options);
  }

  private constructor(url: string, { backend = "auto", sha256, keep = true, signal, onProgress }: LoadOptions) {
    this.#runner = new Runner({ url, sha256, keep }, backend, {
      onReady: ({ shape, backend }) => {
        this.#shape = shape;
        this.#backend = backend;
      },
      onTrouble: (sentence) => this.#events.emit("trouble", sentence),
    });
    this.chat = { completions: { create: (request: CompletionRequest) => create(this, request) } as Completions };
    this.state = {
      save: () => this.#run("save", null),
      load: async (bytes) => {
        await this.#run("restore", bytes);
        this.#spikes = undefined;
      },
    };
    if (onProgress) this.on("progress", onProgress);
    this.ready = this.#load(signal);
    // A page may look at it later.
    this.ready.catch(() => {});
  }

  /** The network's shape; known when it is `ready`. */
  get shape(): Shape {
    return known(this.#shape);
  }

  /** What runs the model, and why; known when it is `ready`. */
  get backend(): BackendChoice {
    return known(this.#backend);
  }

  /** Listens; call what it returns to end that. */
  on<N extends keyof Events>(name: N, listener: (event: Events[N]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /**
   * Replies to a chat; where the last message is the assistant's, goes on with that. What it shares with the conversation before
   * is not computed again. `listener` gets text as it comes.
   */
  async generate(
    messages: Message[],
    options: ChatOptions = {},
    listener: (text: string) => void = () => {},
  ): Promise<Reply> {
    const reply = await this.#run("chat", { messages, options }, (event) => {
      if (event.type !== "token" && event.type !== "text") return;
      const text = event.type === "token" ? event.token.text : event.text;
      if (text !== "") listener(text);
    });
    this.#stats = reply.stats;
    this.#ledger = reply.ledger;
    this.#events.emit("stats", reply.stats);
    return reply;
  }

  /** Holds the download of the model. */
  pause(): void {
    this.#runner.pause(true);
  }

  /** Lets the download go on. */
  resume(): void {
    this.#runner.pause(false);
  }

  /** Ends the reply, loss or replay that is being made. A reply keeps what there is of it. */
  stop(): void {
    this.#runner.stop();
  }

  /** Ends a loss or replay that is being made, but never a reply. */
  stopIdle(): void {
    this.#runner.stopIdle();
  }

  /** Says what is probed of every following token, also of a reply that is being made; `null`: nothing, at no cost. */
  watch(watch: Watch | null): Promise<void> {
    return this.#runner.turn({ name: "watch", value: watch });
  }

  /** Turns threshold scale, micro-steps and muted neurons, from the next token on. What is not given is as trained. */
  set(controls: Partial<Controls>): Promise<void> {
    return this.#runner.turn({ name: "set", value: { threshold_scale: 1, steps: 0, muted: [], ...controls } });
  }

  /** The spikes of the last token, or of the one at `position`: as watched, or computed once more. */
  async probe({ layer, site, position }: Probe): Promise<Spikes> {
    const seen = this.#spikes;
    const fits = seen?.layer === layer && seen.site === site && (position ?? seen.position) === seen.position;
    if (seen && fits) return seen;
    const { spikes } = await this.replay({ layer, site, ...(position !== undefined && { first: position }) });
    const [last] = spikes;
    if (!last) throw new Error("there is no token to probe");
    return last;
  }

  /** Takes tokens of the conversation through the network once more, under the controls of now. A reply ends it. */
  replay(replay: Replay): Promise<Replayed> {
    return this.#run("replay", replay);
  }

  /** How good the network is at a text, under the controls of now. The conversation stays. A reply ends it. */
  loss(text: string): Promise<Loss> {
    return this.#run("loss", { text });
  }

  /** Forgets the conversation. */
  async reset(): Promise<void> {
    await this.#run("reset", null);
    this.#spikes = undefined;
  }

  /** Times of the last reply; zeros before the first. */
  stats(): Stats {
    return (
      this.#stats ?? {
        backend: this.backend.name,
        why: this.backend.why,
        prompt_tokens: 0,
        reused_tokens: 0,
        reply_tokens: 0,
        prefill_tokens_per_second: 0,
        decode_tokens_per_second: 0,
        time_to_first_token_ms: 0,
        context_tokens: 0,
        state_bytes: this.shape.state_bytes,
        memory_bytes: 0,
        burst: 0,
      }
    );
  }

  /** What the last reply took; `undefined` before the first. */
  ledger(): Ledgers | undefined {
    return this.#ledger;
  }

  /** Ends the engine. */
  dispose(): void {
    this.#runner.close();
  }

  /** Has a job done, and tells of what happens meanwhile; first `also`. */
  #run<J extends Job>(
    job: J,
    ask: Jobs[J]["ask"],
    also: (event: EngineEvent) => void = () => {},
  ): Promise<Jobs[J]["answer"]> {
    const event = (event: EngineEvent): void => {
      also(event);
      this.#hear(event);
    };
    return this.#runner.run(job, ask, { event });
  }

  async #load(signal: AbortSignal | undefined): Promise<Mar> {
    const dispose = (): void => this.dispose();
    signal?.addEventListener("abort", dispose);
    try {
      signal?.throwIfAborted();
      const progress = (progress: Progress): void => this.#events.emit("progress", progress);
      const storing = (storing: Storing): void => this.#events.emit("storing", storing);
      await this.#runner.load({ progress, storing });
      return this;
    } catch (error) {
      this.dispose();
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", dispose);
    }
  }

  #hear(event: EngineEvent): void {
    if (event.type === "moved") {
      this.#backend = event.backend;
      this.#events.emit("trouble", `${event.why}; the engine goes on, on ${event.backend.name}`);
    } else if (event.type === "prefill") {
      this.#events.emit("prefill", { done: event.done, total: event.total });
    } else if (event.type === "token") {
      this.#spikes = event.spikes;
      this.#events.emit("token", event.token);
      if (event.spikes) this.#events.emit("spikes", event.spikes);
      if (event.membrane) this.#events.emit("membrane", event.membrane);
    }
  }
}

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the model is not loaded yet; wait for mar.ready");
  return value;
}
