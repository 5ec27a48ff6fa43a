// The shelf in IndexedDB. A message is a row of its own, so a growing answer writes no more than itself.
import { type DBSchema, type IDBPDatabase, type IDBPTransaction, openDB } from "idb";
import type { Conversation, Head, Turn } from "../conversation";
import { GoneError, type KeptCosts, type KeptState, places, type Shelf } from "./shelf";
import { type KeptTurn, unite } from "./unite";

type Key = [conversation: string, turn: string];

interface Tables extends DBSchema {
  conversations: { key: string; value: Head };
  turns: { key: Key; value: KeptTurn };
  states: { key: Key; value: KeptState; indexes: { updated: number } };
  costs: { key: Key; value: KeptCosts; indexes: { updated: number } };
  /** What was deleted stays deleted, whatever another tab still has of it. */
  deleted: { key: string; value: { id: string; when: number } };
}

type Table = "conversations" | "turns" | "states" | "costs" | "deleted";
type Write = IDBPTransaction<Tables, Table[], "readwrite">;
type Upgrade = IDBPTransaction<Tables, Table[], "versionchange">;

const VERSION = 2;

/** Conversations that outlive the page. */
export class DbShelf implements Shelf {
  readonly lasting = true;
  readonly #db: IDBPDatabase<Tables>;
  /** Who writes: this page, until it is loaded again. */
  readonly #page: string;

  private constructor(db: IDBPDatabase<Tables>, page: string) {
    this.#db = db;
    this.#page = page;
  }

  /** Opens the browser's storage; fails where it is denied. */
  static async open(page: string): Promise<DbShelf> {
    const db = await openDB<Tables>("mar", VERSION, {
      upgrade: (db, before, _, transaction) => upgrade(db, before, transaction as unknown as Upgrade),
      // A newer page of another tab waits for this one.
      blocking: (_, __, event) => (event.target as IDBDatabase).close(),
    });
    return new DbShelf(db, page);
  }

  async list(): Promise<Head[]> {
    return this.#db.getAll("conversations");
  }

  async get(id: string): Promise<Conversation | undefined> {
    const transaction = this.#db.transaction(["conversations", "turns"]);
    const [head, kept] = await Promise.all([
      transaction.objectStore("conversations").get(id),
      transaction.objectStore("turns").getAll(within(id)),
    ]);
    if (!head) return undefined;
    const turns = kept.map(({ chat: _, page: __, ...turn }) => turn);
    return { ...head, turns: turns.sort((a, b) => a.created - b.created) };
  }

  async put(chat: Conversation, turns: readonly Turn[]): Promise<void> {
    try {
      await this.#put(chat, turns);
    } catch (error) {
      if (error instanceof GoneError) throw error;
      // Perhaps there is no room: what can be computed again goes before what was said.
      await this.#write(["states", "costs"], async (tables) => {
        await tables.objectStore("states").clear();
        await tables.objectStore("costs").clear();
      });
      await this.#put(chat, turns);
    }
  }

  async #put(chat: Conversation, turns: readonly Turn[]): Promise<void> {
    await this.#write(["conversations", "turns", "deleted"], async (tables) => {
      if (await tables.objectStore("deleted").getKey(chat.id)) throw new GoneError();
      const table = tables.objectStore("turns");
      for (const turn of turns) {
        const stored = await table.get([chat.id, turn.id]);
        await table.put(unite(stored, { ...turn, chat: chat.id, page: this.#page }));
      }
      await tables.objectStore("conversations").put(headOf(chat));
    });
  }

  async retract(chat: Conversation, turns: readonly string[]): Promise<void> {
    await this.#write(["conversations", "turns", "deleted"], async (tables) => {
      if (await tables.objectStore("deleted").getKey(chat.id)) return;
      for (const turn of turns) await tables.objectStore("turns").delete([chat.id, turn]);
      const heads = tables.objectStore("conversations");
      if ((await tables.objectStore("turns").count(within(chat.id))) === 0) await heads.delete(chat.id);
      else await heads.put(headOf(chat));
    });
  }

  async remove(id: string): Promise<void> {
    await this.#write(["conversations", "turns", "states", "costs", "deleted"], async (tables) => {
      await tables.objectStore("deleted").put({ id, when: Date.now() });
      await tables.objectStore("conversations").delete(id);
      for (const table of ["turns", "states", "costs"] as const) await tables.objectStore(table).delete(within(id));
    });
  }

  async state(id: string, leaf: string): Promise<KeptState | undefined> {
    return this.#db.get("states", [id, leaf]);
  }

  async putState(state: KeptState): Promise<void> {
    await this.#shelve("states", state);
  }

  async costs(id: string, turn: string): Promise<KeptCosts | undefined> {
    return this.#db.get("costs", [id, turn]);
  }

  async putCosts(costs: KeptCosts): Promise<void> {
    await this.#shelve("costs", costs);
  }

  /** Puts a thing there; the oldest go where there are too many. */
  async #shelve<T extends "states" | "costs">(name: T, thing: Tables[T]["value"]): Promise<void> {
    await this.#write([name, "deleted"], async (tables) => {
      if (await tables.objectStore("deleted").getKey(thing.id)) return;
      const table = tables.objectStore(name);
      await table.put(thing);
      const keys = await table.index("updated").getAllKeys();
      for (const key of keys.slice(0, -places(thing.bytes.length))) await table.delete(key);
    });
  }

  async #write(names: Table[], work: (tables: Write) => Promise<void>): Promise<void> {
    const transaction = this.#db.transaction(names, "readwrite") as Write;
    // Both, because a write that fails ends the transaction too.
    await Promise.all([work(transaction), transaction.done]);
  }
}

function within(id: string): IDBKeyRange {
  return IDBKeyRange.bound([id], [id, []]);
}

function headOf({ turns: _, ...head }: Conversation): Head {
  return head;
}

/** Makes the tables, from nothing or from those of version 1, where a conversation was one row. */
async function upgrade(db: IDBPDatabase<Tables>, before: number, transaction: Upgrade): Promise<void> {
  const chats = before === 0 ? [] : ((await transaction.objectStore("conversations").getAll()) as Conversation[]);
  const states = before === 0 ? [] : await transaction.objectStore("states").getAll();
  if (before === 0) db.createObjectStore("conversations", { keyPath: "id" });
  else db.deleteObjectStore("states");
  db.createObjectStore("turns", { keyPath: ["chat", "id"] });
  db.createObjectStore("states", { keyPath: ["id", "leaf"] }).createIndex("updated", "updated");
  db.createObjectStore("costs", { keyPath: ["id", "turn"] }).createIndex("updated", "updated");
  db.createObjectStore("deleted", { keyPath: "id" });
  for (const chat of chats) {
    await transaction.objectStore("conversations").put(headOf(chat));
    for (const turn of chat.turns) {
      await transaction.objectStore("turns").put({ ...turn, chat: chat.id, page: "" });
    }
  }
  for (const state of states) await transaction.objectStore("states").put(state);
}
