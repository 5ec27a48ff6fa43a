// Which models are kept, and which of their chunks are known to be there: written last, in transactions, so it never says
// more than is true.
import { type DBSchema, openDB } from "idb";
import type { Keeper } from "../mar/types";
import type { Bytes } from "./plan";

/** A model that is kept, or a part of it. */
export interface Kept {
  /** The sha-256 of its manifest. */
  id: string;
  /** Its folder. */
  url: string;
  keeper: Keeper;
  manifest: Bytes;
  /** Of the files that are kept. */
  bytes: number;
  chunks: number;
  /** When it was loaded last. */
  used: number;
}

/** Where that is written. */
export interface Catalogue {
  all(): Promise<Kept[]>;
  get(id: string): Promise<Kept | undefined>;
  put(kept: Kept): Promise<void>;
  remove(id: string): Promise<void>;
  /** The chunks that are there. */
  chunks(id: string): Promise<number[]>;
  /** Says that a chunk is there, or that it is not. */
  mark(id: string, chunk: number, there: boolean): Promise<void>;
}

interface Tables extends DBSchema {
  models: { key: string; value: Kept };
  chunks: { key: [id: string, chunk: number]; value: true };
}

/** The browser's database; throws where it is denied. */
export async function openCatalogue(): Promise<Catalogue> {
  const db = await openDB<Tables>("mar-models", 1, {
    upgrade(db) {
      db.createObjectStore("models", { keyPath: "id" });
      db.createObjectStore("chunks");
    },
  });
  const range = (id: string): IDBKeyRange => IDBKeyRange.bound([id, 0], [id, Number.MAX_SAFE_INTEGER]);
  return {
    all: () => db.getAll("models"),
    get: (id) => db.get("models", id),
    async put(kept) {
      await db.put("models", kept);
    },
    async remove(id) {
      const transaction = db.transaction(["models", "chunks"], "readwrite");
      await transaction.objectStore("models").delete(id);
      await transaction.objectStore("chunks").delete(range(id));
      await transaction.done;
    },
    async chunks(id) {
      return (await db.getAllKeys("chunks", range(id))).map(([, chunk]) => chunk);
    },
    async mark(id, chunk, there) {
      if (there) await db.put("chunks", true, [id, chunk]);
      else await db.delete("chunks", [id, chunk]);
    },
  };
}
