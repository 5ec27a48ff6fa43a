// A model's chunks in order: from the browser's storage where they lie there right, else from the network.
import type { Digest } from "./digest";
import { Download } from "./download";
import type { Entry } from "./library";
import type { Meter } from "./meter";
import type { Bytes, Chunk } from "./plan";

/** What chunks come from. */
export interface Sources {
  folder: string;
  chunks: readonly Chunk[];
  entry: Entry;
  /** How the browser's own cache is used: not at all, where chunks are kept by us. */
  cache: RequestCache;
  digest: Digest;
  meter: Meter;
}

/** A chunk that is what the manifest says. */
export interface Piece {
  chunk: Chunk;
  bytes: Bytes;
}

/** A load that can be held. */
export class ChunkStream {
  readonly #sources: Sources;
  readonly #download: Download;

  constructor(sources: Sources) {
    this.#sources = sources;
    const { entry, ...parts } = sources;
    this.#download = new Download({ ...parts, keep: entry.keep }, entry.has);
  }

  /** Holds the network, or lets it go on. */
  set paused(paused: boolean) {
    this.#download.paused = paused;
    this.#sources.meter.paused = paused;
  }

  /** The network is back. */
  hurry(): void {
    this.#download.hurry();
  }

  /** The chunks, each once. Whoever stops asking for more ends the load. */
  async *pieces(): AsyncGenerator<Piece, void> {
    const { chunks, entry } = this.#sources;
    try {
      // The next one is read and hashed while the engine takes this one.
      let ahead = this.#ahead(chunks[0]);
      for (const chunk of chunks) {
        const bytes = await ahead;
        ahead = this.#ahead(chunks[chunk.number + 1]);
        if (bytes) yield { chunk, bytes };
      }
      await entry.finish();
    } finally {
      this.#download.close();
    }
  }

  #ahead(chunk: Chunk | undefined): Promise<Bytes | undefined> {
    const bytes = chunk ? this.#get(chunk) : Promise.resolve(undefined);
    // Whoever waits for it hears of it.
    bytes.catch(() => {});
    return bytes;
  }

  async #get(chunk: Chunk): Promise<Bytes> {
    const { entry, digest, meter } = this.#sources;
    if (!entry.has(chunk)) return await this.#download.take(chunk);
    this.#download.reach(chunk);
    const bytes = await entry.read(chunk).catch(() => undefined);
    if (bytes && (await digest(bytes)) === chunk.sha256) {
      meter.found(chunk.bytes);
      return bytes;
    }
    await entry.drop(chunk);
    return await this.#download.take(chunk);
  }
}
