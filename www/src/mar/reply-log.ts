// What is known of a reply outside of the engine that makes it: enough for another engine to go on with it.
import type { EngineEvent } from "../engine/messages";

/** Hears the events of a reply, which may come from several engines in turn, and passes on what is new. */
export class ReplyLog {
  /** The tokens so far. */
  readonly tokens: number[] = [];
  readonly #listener: ((event: EngineEvent) => void) | undefined;
  #ended = false;

  constructor(listener: ((event: EngineEvent) => void) | undefined) {
    this.#listener = listener;
  }

  readonly hear = (event: EngineEvent): void => {
    // What was read and written already is read again, which is nobody's news.
    if (event.type === "prefill" && this.tokens.length > 0) return;
    if (event.type === "text") {
      if (this.#ended) return;
      this.#ended = true;
    }
    if (event.type === "token") this.tokens.push(event.token.token);
    this.#listener?.(event);
  };
}
