/// <reference types="vite/client" />
// The page's side of the worker.
import type { Dial, EngineEvent, FromEngine, Job, Jobs, Progress, Storing, ToEngine } from "./messages";
import { trustedScript } from "./trusted";
import { UNKNOWN, Watchdog } from "./watchdog";
import workerUrl from "./worker?worker&url";

/** Told of what happens while a job is done. */
export interface Listeners {
  progress?: (progress: Progress) => void;
  storing?: (storing: Storing) => void;
  event?: (event: EngineEvent) => void;
}

/** Somebody who waits for an answer. */
interface Waiting {
  resolve: (answer: never) => void;
  reject: (error: Error) => void;
}

/** An engine in a worker of its own. One job at a time; a job that fails leaves it usable, unless it is `broken` then. */
export class EngineClient {
  readonly #worker = new Worker(trustedScript(workerUrl), { type: "module" });
  readonly #dials = new Map<number, Waiting>();
  #job: (Waiting & Listeners) | undefined;
  #turns = 0;
  #broken: string | undefined;
  readonly #onBroken: (message: string) => void;
  readonly #watchdog = new Watchdog((seconds) => {
    this.#break(`the engine gave no sign of life for ${seconds} seconds`);
  });

  /** `onBroken` is told once, when the worker is of no more use. */
  constructor(onBroken: (message: string) => void = () => {}) {
    this.#onBroken = onBroken;
    this.#worker.onmessage = ({ data }: MessageEvent<FromEngine>) => this.#receive(data);
    this.#worker.onmessageerror = () => this.#break("the engine said something that cannot be read");
    this.#worker.onerror = (event) => {
      // It is told to the person.
      event.preventDefault();
      this.#break(`the engine broke (${event.message || "its worker could not start"})`);
    };
  }

  /** Why it can do no more; `undefined` while it can. */
  get broken(): string | undefined {
    return this.#broken;
  }

  /** Has a job done. */
  run<J extends Job>(job: J, ask: Jobs[J]["ask"], listeners: Listeners = {}): Promise<Jobs[J]["answer"]> {
    if (this.#broken !== undefined) return Promise.reject(new Error(this.#broken));
    if (this.#job) return Promise.reject(new Error("the engine is busy; wait for it, or stop it"));
    return new Promise((resolve, reject) => {
      this.#job = { ...listeners, resolve, reject };
      this.#watchdog.begin();
      // Its files come first; the other tells of nothing until it has ended.
      if (job === "load" || job === "measure") this.#watchdog.excuse(Number.POSITIVE_INFINITY);
      this.#send({ type: "job", job, ask } as ToEngine);
    });
  }

  /** Turns a dial, also while a job is done. */
  turn(dial: Dial): Promise<void> {
    if (this.#broken !== undefined) return Promise.reject(new Error(this.#broken));
    this.#turns += 1;
    const id = this.#turns;
    return new Promise((resolve, reject) => {
      this.#dials.set(id, { resolve, reject });
      this.#watchdog.begin();
      this.#send({ type: "turn", id, dial });
    });
  }

  /** Holds the download of a model, or lets it go on. */
  pause(paused: boolean): void {
    this.#send({ type: "pause", paused });
  }

  /** Ends the job that is done, with what there is of it. */
  stop(): void {
    this.#send({ type: "stop" });
  }

  /** Ends the worker. */
  close(): void {
    this.#end("the engine was closed");
  }

  #send(message: ToEngine): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromEngine): void {
    if (message.type === "progress") {
      this.#job?.progress?.(message.progress);
      return;
    }
    if (message.type === "storing") {
      this.#job?.storing?.(message.storing);
      return;
    }
    if (message.type === "excuse") {
      this.#watchdog.excuse(message.why === "fetching" ? Number.POSITIVE_INFINITY : UNKNOWN);
      return;
    }
    this.#watchdog.sign();
    if (message.type === "event") {
      this.#job?.event?.(message.event);
    } else if (message.type === "turned") {
      const waiting = this.#dials.get(message.id);
      this.#dials.delete(message.id);
      if (message.problem === undefined) waiting?.resolve(undefined as never);
      else waiting?.reject(new Error(message.problem));
    } else if (message.type === "done") {
      this.#endJob()?.resolve(message.answer as never);
    } else if (message.type === "failed") {
      if (message.broken) this.#break(message.message);
      else this.#endJob()?.reject(new Error(message.message));
    }
    if (!this.#job && this.#dials.size === 0) this.#watchdog.end();
  }

  #endJob(): Waiting | undefined {
    const job = this.#job;
    this.#job = undefined;
    return job;
  }

  #break(message: string): void {
    if (this.#broken !== undefined) return;
    this.#end(message);
    this.#onBroken(message);
  }

  #end(message: string): void {
    this.#broken ??= message;
    this.#watchdog.end();
    this.#worker.terminate();
    const waiting = [this.#endJob(), ...this.#dials.values()];
    this.#dials.clear();
    for (const one of waiting) one?.reject(new Error(message));
  }
}
