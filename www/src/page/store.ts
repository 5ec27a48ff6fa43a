// Conversations and engine states in this browser. Where storage is denied they live as long as the page.
import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { type Conversation, merge } from "./conversation";

/** The engine's state at the end of a conversation's shown path. */
export interface KeptState {
  /** The conversation. */
  id: string;
  /** The turn that it has seen last. */
  leaf: string;
  model: string;
  bytes: Uint8Array;
  updated: number;
}

interface Tables extends DBSchema {
  conversations: { key: string; value: Conversation };
  states: { key: string; value: KeptState };
}

/** States are megabytes with a large model: the oldest go. */
const STATES = 12;

/** Where conversations are kept. */
export class Store {
  readonly #db: IDBPDatabase<Tables> | undefined;
  readonly #conversations = new Map<string, Conversation>();
  readonly #states = new Map<string, KeptState>();
  readonly #channel = new BroadcastChannel("mar:conversations");
  /** Called when another tab has changed something. */
  onChange: () => void = () => {};

  private constructor(db: IDBPDatabase<Tables> | undefined) {
    this.#db = db;
    this.#channel.onmessage = () => this.onChange();
  }

  /** Opens the browser's storage, or memory where it is denied. */
  static async open(): Promise<Store> {
    try {
      const upgrade = (db: IDBPDatabase<Tables>) => {
        db.createObjectStore("conversations", { keyPath: "id" });
        db.createObjectStore("states", { keyPath: "id" });
      };
      return new Store(await openDB<Tables>("mar", 1, { upgrade }));
    } catch {
      return new Store(undefined);
    }
  }

  /** Whether what is written outlives the page. */
  get lasting(): boolean {
    return this.#db !== undefined;
  }

  /** All conversations, the newest first. */
  async list(): Promise<Conversation[]> {
    const all = this.#db ? await this.#db.getAll("conversations") : [...this.#conversations.values()];
    return all.sort((a, b) => b.updated - a.updated);
  }

  async get(id: string): Promise<Conversation | undefined> {
    return this.#db ? this.#db.get("conversations", id) : this.#conversations.get(id);
  }

  /** Keeps a conversation, with what another tab has added to it. */
  async put(chat: Conversation): Promise<void> {
    if (this.#db) {
      const transaction = this.#db.transaction("conversations", "readwrite");
      await transaction.store.put(merge(chat, await transaction.store.get(chat.id)));
      await transaction.done;
    } else {
      this.#conversations.set(chat.id, structuredClone(chat));
    }
    this.#channel.postMessage(chat.id);
  }

  /** Forgets a conversation and its state. */
  async remove(id: string): Promise<void> {
    await this.#db?.delete("conversations", id);
    await this.#db?.delete("states", id);
    this.#conversations.delete(id);
    this.#states.delete(id);
    this.#channel.postMessage(id);
  }

  async state(id: string): Promise<KeptState | undefined> {
    return this.#db ? this.#db.get("states", id) : this.#states.get(id);
  }

  /** Keeps the state of a conversation in the place of the one before. */
  async putState(state: KeptState): Promise<void> {
    if (!this.#db) {
      this.#states.set(state.id, state);
      return;
    }
    const transaction = this.#db.transaction("states", "readwrite");
    await transaction.store.put(state);
    const all = await transaction.store.getAll();
    const old = all.sort((a, b) => b.updated - a.updated).slice(STATES);
    for (const { id } of old) await transaction.store.delete(id);
    await transaction.done;
  }
}
