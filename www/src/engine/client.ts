// The page's side of the engine.
import type {
  Backend,
  ChatEvent,
  ChatOptions,
  ChatReply,
  FromEngine,
  Measurement,
  Message,
  Progress,
  Ready,
  ToEngine,
} from "./messages";

/** What the engine is doing. */
interface Job {
  progress?: (progress: Progress) => void;
  chatEvent?: (event: ChatEvent) => void;
  resolve: (message: FromEngine) => void;
  reject: (error: Error) => void;
}

/** An engine in a worker of its own. One job at a time; a failed job leaves it usable. */
export class EngineClient {
  readonly #worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  #job: Job | undefined;

  constructor() {
    this.#worker.onmessage = (event: MessageEvent<FromEngine>) => this.#receive(event.data);
    this.#worker.onerror = (event) =>
      this.#fail(`the engine's worker failed: ${event.message || "it could not start"}`);
  }

  /** Downloads and loads the model at `url`, which replaces the one before. */
  async load(url: string, backend: Backend, progress: (progress: Progress) => void): Promise<Ready> {
    const end = await this.#run({ type: "load", url, backend }, { progress });
    if (end.type === "ready") return end.ready;
    throw new Error(`the engine answered ${end.type} to load`);
  }

  /** Replies to a chat; `chatEvent` gets the text as it comes. */
  async chat(messages: Message[], options: ChatOptions, chatEvent: (event: ChatEvent) => void): Promise<ChatReply> {
    const end = await this.#run({ type: "chat", messages, options }, { chatEvent });
    if (end.type === "reply") return end.reply;
    throw new Error(`the engine answered ${end.type} to chat`);
  }

  /** Times a made-up prompt and a greedy continuation. */
  async measure(prompt: number, tokens: number): Promise<Measurement> {
    const end = await this.#run({ type: "measure", prompt, tokens }, {});
    if (end.type === "measured") return end.measurement;
    throw new Error(`the engine answered ${end.type} to measure`);
  }

  /** Ends the reply that is being made, with what there is of it. */
  stop(): void {
    this.#send({ type: "stop" });
  }

  /** Ends the worker. */
  close(): void {
    this.#worker.terminate();
    this.#fail("the engine was closed");
  }

  #run(message: ToEngine, listeners: Pick<Job, "progress" | "chatEvent">): Promise<FromEngine> {
    if (this.#job) return Promise.reject(new Error("the engine is busy; wait for it, or stop the reply"));
    return new Promise((resolve, reject) => {
      this.#job = { ...listeners, resolve, reject };
      this.#send(message);
    });
  }

  #send(message: ToEngine): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromEngine): void {
    if (message.type === "progress") {
      this.#job?.progress?.(message.progress);
    } else if (message.type === "chat-event") {
      this.#job?.chatEvent?.(message.event);
    } else if (message.type === "failed") {
      this.#fail(message.message);
    } else {
      const job = this.#job;
      this.#job = undefined;
      job?.resolve(message);
    }
  }

  #fail(message: string): void {
    const job = this.#job;
    this.#job = undefined;
    job?.reject(new Error(message));
  }
}
