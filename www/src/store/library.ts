// The models of this browser: opened to be loaded, listed, verified, deleted.
import type { Keeper, Storing } from "../mar/types";
import { openCaches } from "./cached";
import { type Catalogue, type Kept, openCatalogue } from "./catalogue";
import type { Digest } from "./digest";
import { nameOf, openFiles } from "./opfs";
import { type Bytes, bytesOf, type Chunk, chunksOf, filesOf } from "./plan";
import type { Shelves } from "./shelf";

/** What is left free: conversations are kept too. */
const SPARE = 4 << 20;

/** Said of a model that there is no room for. */
const FULL: Storing = { keeper: "memory", full: true, why: "the storage that this browser grants is full" };

/** A model as the list has it. */
export interface Listing {
  id: string;
  url: string;
  keeper: Keeper;
  bytes: number;
  /** Of its chunks, those that are there. */
  chunks: number;
  there: number;
  used: number;
}

/** A model that is loaded: what is there of it, and a place for the rest. */
export interface Entry {
  /** Whether a chunk should be there. */
  has(chunk: Chunk): boolean;
  /** The chunk as it lies there, if it does. */
  read(chunk: Chunk): Promise<Bytes | undefined>;
  /** Says that a chunk does not lie there right; never fails. */
  drop(chunk: Chunk): Promise<void>;
  /** Keeps a chunk that is right. Where it cannot be kept, the person is told once. */
  keep(chunk: Chunk, bytes: Bytes): Promise<void>;
  /** A load has taken all of it. */
  finish(): Promise<void>;
  close(): void;
}

/** An entry that keeps nothing: the engine's memory has the model. */
export const NOTHING: Entry = {
  has: () => false,
  read: async () => undefined,
  drop: async () => {},
  keep: async () => {},
  finish: async () => {},
  close: () => {},
};

/** Why a model is not kept that could not be written. */
export function unkept(error: unknown): Storing {
  if (nameOf(error) === "QuotaExceededError") return FULL;
  return { keeper: "memory", full: false, why: `the storage fails (${error})` };
}

/** A model about to be loaded. */
export interface Opening {
  id: string;
  url: string;
  manifest: Bytes;
  chunks: readonly Chunk[];
}

/** How much may be kept, and how much is. */
export type Estimate = () => Promise<{ quota?: number; usage?: number }>;

/** The parts of a library. */
export interface Rooms {
  catalogue: Catalogue;
  /** The first is for what is new. */
  shelves: [Shelves, ...Shelves[]];
  estimate: Estimate;
}

/** Everything that is kept. */
export class Library {
  readonly #catalogue: Catalogue;
  readonly #shelves: [Shelves, ...Shelves[]];
  readonly #estimate: Estimate;

  constructor({ catalogue, shelves, estimate }: Rooms) {
    this.#catalogue = catalogue;
    this.#shelves = shelves;
    this.#estimate = estimate;
  }

  /** The browser's: files, else caches; `undefined` where it denies both. `writes`: whether models are loaded here. */
  static async open(writes: boolean): Promise<Library | undefined> {
    try {
      const synchronous =
        "FileSystemFileHandle" in globalThis && "createSyncAccessHandle" in FileSystemFileHandle.prototype;
      const files = writes && !synchronous ? undefined : await openFiles().catch(() => undefined);
      const cached = await openCaches().catch(() => undefined);
      const [first, ...others] = [files, cached].filter((one) => one !== undefined);
      if (!first) return undefined;
      const estimate = (): ReturnType<Estimate> => navigator.storage?.estimate() ?? Promise.resolve({});
      return new Library({ catalogue: await openCatalogue(), shelves: [first, ...others], estimate });
    } catch {
      // The database is denied, and with it everything else.
      return undefined;
    }
  }

  /** The manifest of a model that is kept, by its hash or else by its folder; the newest. */
  async manifest(id: string | undefined, url: string): Promise<Bytes | undefined> {
    if (id !== undefined) return (await this.#catalogue.get(id))?.manifest;
    const all = (await this.#catalogue.all()).filter((kept) => kept.url === url);
    return all.sort((a, b) => b.used - a.used)[0]?.manifest;
  }

  /** Opens a model to load it. `tell` hears how it is kept. */
  async open({ id, url, manifest, chunks }: Opening, tell: (storing: Storing) => void): Promise<Entry> {
    const known = await this.#catalogue.get(id);
    const shelves = this.#shelves.find(({ keeper }) => keeper === known?.keeper) ?? this.#shelves[0];
    const { keeper } = shelves;
    const kept: Kept = { id, url, keeper, manifest, bytes: bytesOf(chunks), chunks: chunks.length, used: Date.now() };
    const marked = new Set(known?.keeper === keeper ? await this.#catalogue.chunks(id) : []);
    const { quota, usage } = await this.#estimate();
    // Last: whoever has it must close it.
    const shelf = await shelves.open(id);
    const held = chunks.filter((chunk) => marked.has(chunk.number) && shelf.holds(chunk));
    const there = new Set(held.map(({ number }) => number));
    const missing = bytesOf(chunks.filter(({ number }) => !there.has(number)));
    const stillMarked = new Set<number>();
    let denied: Storing | undefined;
    const deny = (why: Storing): void => {
      denied ??= why;
      tell(denied);
    };
    const refused = (error: unknown): void => deny(unkept(error));
    if (shelf.busy) {
      if (missing > 0) deny({ keeper: "memory", full: false, why: "another tab is keeping the same model" });
    } else {
      const free = quota === undefined ? Number.POSITIVE_INFINITY : quota - (usage ?? 0) - SPARE;
      if (missing > Math.max(free, 0)) deny(FULL);
      // What is there is read nevertheless; where that is all of it, the list lacks no more than today's date.
      else await this.#catalogue.put(kept).catch((error: unknown) => missing > 0 && refused(error));
    }
    if (!denied) tell({ keeper, full: false, why: "" });
    return {
      has: ({ number }) => there.has(number),
      async read(chunk) {
        return there.has(chunk.number) ? await shelf.read(chunk) : undefined;
      },
      // Where even that finds no room, the chunk's hash says so at the next load.
      drop: ({ number }) => this.#catalogue.mark(id, number, false).catch(() => void stillMarked.add(number)),
      keep: async (chunk, bytes) => {
        if (denied) return;
        try {
          await shelf.write(chunk, bytes);
          if (!stillMarked.has(chunk.number)) await this.#catalogue.mark(id, chunk.number, true);
        } catch (error) {
          refused(error);
        }
      },
      finish: async () => {
        if (!denied) await this.#forgetOlder(kept);
      },
      close: () => shelf.close(),
    };
  }

  /** The models that are kept, the one loaded last first. */
  async list(): Promise<Listing[]> {
    const all = await this.#catalogue.all();
    const listings = all.map(async ({ manifest, ...kept }) => {
      return { ...kept, there: (await this.#catalogue.chunks(kept.id)).length };
    });
    return (await Promise.all(listings)).sort((a, b) => b.used - a.used);
  }

  /** Reads all that is kept of a model, and returns how many chunks are damaged; those are fetched again at the next load. */
  async verify(id: string, digest: Digest, report: (done: number, total: number) => void): Promise<number> {
    const kept = await this.#catalogue.get(id);
    const shelves = this.#shelves.find(({ keeper }) => keeper === kept?.keeper);
    if (!kept || !shelves) throw new Error("it is not kept any more");
    const shelf = await shelves.look(id).catch(() => undefined);
    const there = new Set(await this.#catalogue.chunks(id));
    const chunks = chunksOf(filesOf(kept.manifest)).filter(({ number }) => there.has(number));
    let damaged = 0;
    for (const [done, chunk] of chunks.entries()) {
      const bytes = await shelf?.read(chunk);
      if (!bytes || (await digest(bytes)) !== chunk.sha256) {
        damaged += 1;
        await this.#catalogue.mark(id, chunk.number, false);
      }
      report(done + 1, chunks.length);
    }
    shelf?.close();
    return damaged;
  }

  /** Deletes what is kept of a model. */
  async remove(id: string): Promise<void> {
    const kept = await this.#catalogue.get(id);
    const shelves = this.#shelves.find(({ keeper }) => keeper === kept?.keeper);
    await shelves?.remove(id);
    // Last: what is deleted half is still in the list.
    await this.#catalogue.remove(id);
  }

  /** Other models of the same folder are what lay there before. */
  async #forgetOlder({ id, url }: Kept): Promise<void> {
    for (const older of await this.#catalogue.all()) {
      // One that another tab loads stays for now.
      if (older.url === url && older.id !== id) await this.remove(older.id).catch(() => undefined);
    }
  }
}
