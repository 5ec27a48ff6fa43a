// Jobs in a row, in a worker that is replaced when it breaks.
import { EngineClient, type Listeners } from "../engine/client";
import type { Dial, Job, Jobs, Ready, Source } from "../engine/messages";
import type { Backend } from "./types";

/** Done while nobody waits for a reply: a reply that is asked for ends them. */
const IDLE: readonly Job[] = ["loss", "replay"];

/** A model at an address, on an engine that is started again when it breaks. */
export class Runner {
  readonly #source: Source;
  readonly #backend: Backend;
  readonly #onTrouble: (sentence: string) => void;
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

  /** `onTrouble` gets a sentence when the engine broke and was started again. */
  constructor(source: Source, backend: Backend, onTrouble: (sentence: string) => void) {
    this.#source = source;
    this.#backend = backend;
    this.#onTrouble = onTrouble;
    this.#engine = this.#start();
  }

  /** Loads the model. */
  async load(listeners: Listeners): Promise<Ready> {
    const ready = this.#queue(() => this.#load(this.#backend, listeners));
    this.#up = ready.catch(() => {});
    await ready;
    this.#loaded = true;
    return ready;
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
        return await this.#begin(job, ask, listeners);
      });
    } finally {
      if (job === "chat") this.#chats -= 1;
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
      if (this.#loaded && !this.#closed && !again) this.#up = this.#queue(() => this.#mend()).catch(() => {});
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

  /** Starts a new engine where the old one has broken. The conversation is computed again with the next reply. */
  async #mend(): Promise<void> {
    const why = this.#why;
    if (why === undefined) return;
    if (this.#closed || !this.#loaded) throw new Error(why);
    this.#engine.close();
    this.#engine = this.#start();
    await this.#load(this.#backend);
    for (const dial of this.#dials.values()) await this.#engine.turn(dial);
    this.#why = undefined;
    this.#onTrouble(`${why}; it was started again, and what you do next works as before`);
  }
}
