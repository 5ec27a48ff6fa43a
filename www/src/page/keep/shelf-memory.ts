// A shelf that ends with the page, for browsers that deny storage.
import type { Conversation, Head, Turn } from "../conversation";
import { GoneError, type KeptCosts, type KeptState, places, type Shelf } from "./shelf";

/** Everything in maps. No other tab sees them, so nothing is united. */
export class MemoryShelf implements Shelf {
  readonly lasting = false;
  readonly #chats = new Map<string, Conversation>();
  readonly #gone = new Set<string>();
  readonly #states = new Map<string, KeptState>();
  readonly #costs = new Map<string, KeptCosts>();

  async list(): Promise<Head[]> {
    return [...this.#chats.values()];
  }

  async get(id: string): Promise<Conversation | undefined> {
    return structuredClone(this.#chats.get(id));
  }

  async put(chat: Conversation, turns: readonly Turn[]): Promise<void> {
    if (this.#gone.has(chat.id)) throw new GoneError();
    const kept = new Map(this.#chats.get(chat.id)?.turns.map((turn) => [turn.id, turn]));
    for (const turn of turns) kept.set(turn.id, turn);
    this.#chats.set(chat.id, structuredClone({ ...chat, turns: [...kept.values()] }));
  }

  async retract(chat: Conversation, turns: readonly string[]): Promise<void> {
    const kept = this.#chats.get(chat.id);
    if (!kept) return;
    const left = kept.turns.filter(({ id }) => !turns.includes(id));
    if (left.length === 0) this.#chats.delete(chat.id);
    else this.#chats.set(chat.id, structuredClone({ ...chat, turns: left }));
  }

  async remove(id: string): Promise<void> {
    this.#gone.add(id);
    this.#chats.delete(id);
    for (const things of [this.#states, this.#costs]) {
      for (const [key, thing] of things) if (thing.id === id) things.delete(key);
    }
  }

  async state(id: string, leaf: string): Promise<KeptState | undefined> {
    return this.#states.get(`${id} ${leaf}`);
  }

  async putState(state: KeptState): Promise<void> {
    shelve(this.#states, `${state.id} ${state.leaf}`, state);
  }

  async costs(id: string, turn: string): Promise<KeptCosts | undefined> {
    return this.#costs.get(`${id} ${turn}`);
  }

  async putCosts(costs: KeptCosts): Promise<void> {
    shelve(this.#costs, `${costs.id} ${costs.turn}`, costs);
  }
}

/** Puts a thing last; the first ones go where there are too many. */
function shelve<T extends { bytes: Uint8Array }>(things: Map<string, T>, key: string, thing: T): void {
  things.delete(key);
  things.set(key, thing);
  for (const old of [...things.keys()].slice(0, -places(thing.bytes.length))) things.delete(old);
}
