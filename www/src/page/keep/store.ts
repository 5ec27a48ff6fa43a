// Conversations in this browser, and what its tabs tell each other of them.
import { type Conversation, type Head, newId, type Turn } from "../conversation";
import { Owed } from "./owed";
import type { KeptCosts, KeptState, Shelf } from "./shelf";
import { DbShelf } from "./shelf-db";
import { MemoryShelf } from "./shelf-memory";

/** What another tab has done. */
export type News =
  /** Something of a conversation is kept anew. */
  | { type: "kept"; id: string }
  | { type: "removed"; id: string }
  /** An answer has grown; it is kept a little later. */
  | { type: "grown"; id: string; turn: Turn };

/** Where conversations are kept. Where storage is denied they live as long as the page. */
export class Store {
  readonly #shelf: Shelf;
  readonly #owed = new Owed((chat, turns) => this.put(chat, turns));
  readonly #channel = new BroadcastChannel("mar:conversations");
  readonly #listeners = new Set<(news: News) => void>();

  private constructor(shelf: Shelf) {
    this.#shelf = shelf;
    this.#channel.onmessage = ({ data }: MessageEvent<News>) => {
      for (const listener of this.#listeners) listener(data);
    };
  }

  /** Opens the browser's storage, or memory where it is denied. */
  static async open(): Promise<Store> {
    try {
      return new Store(await DbShelf.open(newId()));
    } catch {
      return new Store(new MemoryShelf());
    }
  }

  /** Listens to the other tabs. */
  onNews(listener: (news: News) => void): void {
    this.#listeners.add(listener);
  }

  /** Whether what is written outlives the page. */
  get lasting(): boolean {
    return this.#shelf.lasting;
  }

  /** All conversations, the newest first. */
  async list(): Promise<Head[]> {
    const [kept, owed] = [await this.#shelf.list(), this.#owed.chats];
    const others = kept.filter(({ id }) => !owed.some((chat) => chat.id === id));
    return [...owed, ...others].sort((a, b) => b.updated - a.updated);
  }

  async get(id: string): Promise<Conversation | undefined> {
    return this.#owed.chats.find((chat) => chat.id === id) ?? (await this.#shelf.get(id));
  }

  /** Keeps the head of a conversation and these of its turns, all or nothing. */
  async put(chat: Conversation, turns: readonly Turn[] = chat.turns): Promise<void> {
    await this.#shelf.put(chat, turns);
    this.#tell({ type: "kept", id: chat.id });
  }

  /** As `put`; what cannot be kept now is kept as soon as it can be. */
  keep(chat: Conversation, turns: readonly Turn[]): Promise<void> {
    return this.#owed.write(chat, turns);
  }

  /** Takes turns back that led to nothing; a conversation without any goes with them. */
  async retract(chat: Conversation, turns: readonly Turn[]): Promise<void> {
    this.#owed.forget(chat.id, turns);
    await this.#shelf.retract(
      chat,
      turns.map(({ id }) => id),
    );
    this.#tell({ type: "kept", id: chat.id });
  }

  /** Forgets a conversation with all that belongs to it, for good. */
  async remove(id: string): Promise<void> {
    this.#owed.forget(id);
    await this.#shelf.remove(id);
    this.#tell({ type: "removed", id });
  }

  /** Shows the other tabs how far an answer is. */
  show(id: string, turn: Turn): void {
    this.#tell({ type: "grown", id, turn });
  }

  state(id: string, leaf: string): Promise<KeptState | undefined> {
    return this.#shelf.state(id, leaf);
  }

  putState(state: KeptState): Promise<void> {
    return this.#shelf.putState(state);
  }

  costs(id: string, turn: string): Promise<KeptCosts | undefined> {
    return this.#shelf.costs(id, turn);
  }

  putCosts(costs: KeptCosts): Promise<void> {
    return this.#shelf.putCosts(costs);
  }

  #tell(news: News): void {
    this.#channel.postMessage(news);
  }
}
