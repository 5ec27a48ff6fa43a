// What the engine knows of conversations: where it is, and how it comes back to the end of a turn without reading it again.
import type { Mar } from "../mar";
import { type Conversation, pathOf } from "./conversation";
import type { Store } from "./keep/store";

/** Ends of turns that are looked for, from the last one back. */
const TRIES = 8;

/** The engine's place, and the states that are kept for it. */
export class EngineMemory {
  readonly #store: Store;
  #engine: Mar | undefined;
  /** The conversation whose tokens the engine has seen, and the turn that it has seen last. */
  #at: { id: string; leaf: string } | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Another engine, which knows nothing yet. */
  use(engine: Mar | undefined): void {
    this.#engine = engine;
    this.#at = undefined;
  }

  /** The engine is about to see this turn, or is no longer sure of what it has seen. */
  move(id: string, leaf: string | undefined): void {
    this.#at = leaf === undefined ? undefined : { id, leaf };
  }

  /** The turn of a conversation that the engine has seen last. */
  placeIn({ id }: Conversation): string | undefined {
    return this.#at?.id === id ? this.#at.leaf : undefined;
  }

  /** Goes to the end of a turn, where its state was kept. True where the engine is there then. */
  async goTo({ id }: Conversation, leaf: string): Promise<boolean> {
    const engine = this.#engine;
    if (!engine) return false;
    if (this.#at?.id === id && this.#at.leaf === leaf) return true;
    try {
      const kept = await this.#store.state(id, leaf);
      if (kept?.model !== engine.shape.name || engine !== this.#engine) return false;
      await engine.state.load(kept.bytes);
      this.#at = { id, leaf };
      return true;
    } catch {
      // A state of other weights, or a damaged one: the conversation is read again instead.
      return false;
    }
  }

  /** Goes to the last turn's end on the way to `leaf` whose state was kept. */
  async goNear(chat: Conversation, leaf: string): Promise<void> {
    const ends = pathOf({ ...chat, leaf }).filter(({ role }) => role === "assistant");
    for (const { id } of ends.slice(-TRIES).reverse()) if (await this.goTo(chat, id)) return;
  }

  /** Keeps the state at the end of the turn that the engine has just seen, so that nobody computes it again after a reload. */
  async keep({ id }: Conversation, leaf: string): Promise<void> {
    const engine = this.#engine;
    if (!engine || this.#at?.id !== id || this.#at.leaf !== leaf) return;
    try {
      const bytes = await engine.state.save();
      // It may have begun something else before its state was taken.
      if (this.#at?.id !== id || this.#at.leaf !== leaf) return;
      await this.#store.putState({ id, leaf, model: engine.shape.name, bytes, updated: Date.now() });
    } catch {
      // It costs a prefill, no more.
    }
  }
}
