// Jobs in a row, in a worker that is replaced when it breaks.
import { EngineClient, type Listeners } from "../engine/client";
import type { Dial, Job, Jobs, Ready, Source } from "../engine/messages";
import { ReplyLog } from "./reply-log";
import type { Backend } from "./types";

/** Done while nobody waits for a reply: a reply that is asked for ends them. */
const IDLE: readonly Job[] = ["loss", "replay"];

/** Done once more where the engine breaks meanwhile. The others need what that engine knew. */
const AGAIN: readonly Job[] = ["chat", "loss", "restore", "reset"];

/** Breaks without a token between them, after which a job is given up. */
const BREAKS = 3;

/** Who is told of what. */
export interface RunnerEvents {
  /** An engine is there. */
  onReady: (ready: Ready) => void;
  /** A sentence: the engine broke and was started again. Told after `onReady`, and not where a reply's error said so. */
  onTrouble: (sentence: string) => void;
}

/** A model at an address, on an engine that is started again when it breaks, or when it hangs. */
export class Runner {
  readonly #source: Source;
  readonly #backend: Backend;
  readonly #events: RunnerEvents;
  #engine: EngineClient;
  /** What the dials were last turned to: a new engine gets them too. */
  readonly #dials = new Map<Dial["name"], Dial>();
  /** When there is an engine with a model to turn dials of. */
  #up: Promise<unknown> = Promise.resolve();
  /** The end of the row. */
  #last: Promise<unknown> = Promise.resolve();
  #current: Job | undefined;
  #chats = 0;
  /** Somebody wants the next reply to end before it has begun. */
  #stopNext = false;
  #loaded = false;
  #closed = false;
  /** Why the engine broke, until another has taken its place. */
  #why: string | undefined;
  /** Whether the error of a reply that was given up says so already: a new engine would speak over it. */
  #told = false;

  constructor(source: Source, backend: Backend, events: RunnerEvents) {
    this.#source = source;
    this.#backend = backend;
    this.#events = events;
    this.#engine = this.#start();
  }

  /** Loads the model. */
  async load(listeners: Listeners): Promise<void> {
    const loading = this.#queue(async () => {
      try {
        this.#events.onReady(await this.#load(this.#backend, listeners));
      } catch (error) {
        // A GPU can be what it broke of.
        if (this.#why === undefined || this.#closed || this.#backend === "cpu") throw error;
        await this.#replace("cpu", this.#why, listeners);
      }
    });
    this.#up = loading.catch(() => {});
    await loading;
    this.#loaded = true;
  }

  /** Has a job done after those before it. */
  async run<J extends Job>(job: J, ask: Jobs[J]["ask"], listeners: Listeners = {}): Promise<Jobs[J]["answer"]> {
    const idle = IDLE.includes(job);
    if (job === "chat") {
      this.stopIdle();
      this.#chats += 1;
    }
    try {
      return await this.#queue(async () => {
        if (idle && this.#chats > 0) throw new DOMException("it gave way to a reply", "AbortError");
        await this.#mend();
        return await this.#persist(job, ask, listeners);
      });
    } finally {
      if (job === "chat") this.#chats -= 1;
    }
  }

  /** Has a job done; where the engine breaks meanwhile, on the next one. A reply goes on behind its last token. */
  async #persist<J extends Job>(job: J, ask: Jobs[J]["ask"], listeners: Listeners): Promise<Jobs[J]["answer"]> {
    const log = new ReplyLog(listeners.event);
    for (let breaks = 0; ; ) {
      const said = log.tokens.length;
      try {
        const now = said > 0 ? { ...ask, said: log.tokens } : ask;
        return await this.#begin(job, now as Jobs[J]["ask"], { ...listeners, event: log.hear });
      } catch (error) {
        if (this.#why === undefined || this.#closed || !AGAIN.includes(job)) throw error;
        breaks = log.tokens.length > said ? 1 : breaks + 1;
        // Twice at the same place: it may be the GPU. Once more: it is what was asked.
        this.#told = breaks === BREAKS && job === "chat";
        const mended = breaks < BREAKS ? this.#mend(breaks > 1 ? "cpu" : this.#backend, job) : Promise.reject(error);
        this.#up = mended.catch(() => {});
        await mended;
      }
    }
  }

  async #begin<J extends Job>(job: J, ask: Jobs[J]["ask"], listeners: Listeners): Promise<Jobs[J]["answer"]> {
    this.#current = job;
    try {
      const answer = this.#engine.run(job, ask, listeners);
      if (job === "chat" && this.#stopNext) this.#engine.stop();
      if (job === "chat") this.#stopNext = false;
      return await answer;
    } finally {
      this.#current = undefined;
    }
  }

  /** Turns a dial; it acts on the next token. */
  async turn(dial: Dial): Promise<void> {
    await this.#up;
    await this.#engine.turn(dial);
    this.#dials.set(dial.name, dial);
  }

  /** Holds the download of the model, or lets it go on. */
  pause(paused: boolean): void {
    this.#engine.pause(paused);
  }

  /** Ends the job that is done, or a reply that waits for its turn. */
  stop(): void {
    if (this.#current) this.#engine.stop();
    this.#stopNext = this.#chats > 0 && this.#current !== "chat";
  }

  /** Ends the job that is done where nobody waits for a reply of it. */
  stopIdle(): void {
    if (this.#current && IDLE.includes(this.#current)) this.#engine.stop();
  }

  close(): void {
    this.#closed = true;
    this.#engine.close();
  }

  #start(): EngineClient {
    return new EngineClient((why) => {
      // One that breaks while it takes another's place would break again: then the next job tries.
      const again = this.#why !== undefined;
      this.#why ??= why;
      // Who waits for a job that is done once more sees to it.
      if (!this.#loaded || this.#closed || again || (this.#current && AGAIN.includes(this.#current))) return;
      this.#up = this.#queue(() => this.#mend()).catch(() => {});
    });
  }

  #load(backend: Backend, listeners: Listeners = {}): Promise<Ready> {
    return this.#engine.run("load", { source: this.#source, backend }, listeners);
  }

  #queue<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Starts a new engine where the old one has broken. The conversation is computed again with the next reply, or with `job`. */
  async #mend(backend = this.#backend, job?: Job): Promise<void> {
    const why = this.#why;
    if (why === undefined) return;
    if (this.#closed || !this.#loaded) throw new Error(why);
    const told = this.#told;
    this.#told = false;
    const { name } = await this.#replace(backend, why);
    if (told) return;
    const then = job === "chat" ? "the reply goes on" : "what you do next works as before";
    this.#events.onTrouble(`${why}; it was started again on ${name}, and ${then}`);
  }

  /** Puts a new engine in the place of one that broke because of `why`. */
  async #replace(backend: Backend, why: string, listeners?: Listeners): Promise<Ready["backend"]> {
    this.#engine.close();
    this.#engine = this.#start();
    try {
      const ready = await this.#load(backend, listeners);
      for (const dial of this.#dials.values()) await this.#engine.turn(dial);
      // Nobody has asked for a CPU that takes over from a GPU.
      const more = backend === this.#backend ? `; ${ready.backend.why}` : "";
      this.#events.onReady({ ...ready, backend: { ...ready.backend, why: `${why}${more}` } });
      this.#why = undefined;
      return ready.backend;
    } catch (error) {
      if (this.#closed) throw error;
      // It broke as well, and a GPU can be what it broke of.
      if (this.#engine.broken !== undefined && backend !== "cpu") return this.#replace("cpu", why, listeners);
      const words = error instanceof Error ? error.message : String(error);
      throw new Error(`${why}, and it could not be started again: ${words}`);
    }
  }
}
