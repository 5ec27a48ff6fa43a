// What the page needs of an engine.
import { EngineClient } from "../engine/client";
import type { BackendChoice, ChatOptions, Events, LoadOptions, Message, Reply, Shape } from "../mar/types";

/** A loaded model. */
export interface Engine {
  readonly shape: Shape;
  readonly backend: BackendChoice;
  generate(messages: Message[], options: ChatOptions): Promise<Reply>;
  stop(): void;
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
  state: { save(): Promise<Uint8Array>; load(bytes: Uint8Array): Promise<void> };
  dispose(): void;
}

/** Loads the model in the folder `url`. */
export async function loadEngine(url: string, options: LoadOptions): Promise<Engine> {
  const client = new EngineClient();
  const ready = await client.load(url, options.backend ?? "auto", (p) => options.onProgress?.(p));
  const listeners = new Map<string, Set<(event: never) => void>>();
  const tell = <Name extends keyof Events>(name: Name, event: Events[Name]) => {
    for (const listener of listeners.get(name) ?? []) (listener as (event: Events[Name]) => void)(event);
  };
  return {
    shape: { name: ready.info.name } as Shape,
    backend: ready.backend,
    async generate(messages, options) {
      const reply = (await client.chat(messages, options, (event) => {
        if (event.type === "prefill") tell("prefill", event);
        else tell("token", { text: event.text, position: event.tokens } as Events["token"]);
      })) as unknown as Reply;
      tell("stats", reply.stats);
      return reply;
    },
    stop: () => client.stop(),
    on(name, listener) {
      const set = listeners.get(name) ?? new Set();
      listeners.set(name, set);
      set.add(listener as (event: never) => void);
      return () => set.delete(listener as (event: never) => void);
    },
    state: { save: async () => new Uint8Array(1), load: async () => {} },
    dispose: () => client.close(),
  };
}
