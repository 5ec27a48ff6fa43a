// For the tests: a model, a server that does what it is told to, and storage in memory.
import type { Catalogue, Kept } from "./catalogue";
import { sha256 } from "./digest";
import { type Bytes, CHUNK_BYTES, type Chunk, chunksOf, type Listed } from "./plan";
import type { Shelves } from "./shelf";

export const FOLDER = "https://models.test/one/";

/** A model of two small files and two pieces of weights. */
export interface FakeModel {
  files: Map<string, Bytes>;
  listed: Listed[];
  chunks: Chunk[];
  manifest: Bytes;
}

/** `chunks`: of the weights' pieces; the last chunk is a short one. */
export async function fakeModel(chunks: [number, number] = [6, 3], seed = 1): Promise<FakeModel> {
  const files = new Map<string, Bytes>([
    ["config.json", noise(300, seed)],
    ["tokenizer.json", noise(5000, seed + 1)],
    ["model.safetensors.00", noise(chunks[0] * CHUNK_BYTES, seed + 2)],
    ["model.safetensors.01", noise((chunks[1] - 1) * CHUNK_BYTES + 777, seed + 3)],
  ]);
  const listed: Listed[] = [];
  for (const [path, bytes] of files) {
    const hashes: string[] = [];
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) hashes.push(await sha256(bytes.slice(at, at + CHUNK_BYTES)));
    listed.push({ path, bytes: bytes.length, chunks: hashes });
  }
  const manifest = new TextEncoder().encode(JSON.stringify({ files: listed }));
  return { files, listed, chunks: chunksOf(listed), manifest };
}

/** Bytes that look like chance. */
function noise(length: number, seed: number): Bytes {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = seed * 2654435761;
  for (let i = 0; i < words.length; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length).slice();
}

/** What a server was asked for, and what it does about it. */
export interface Asked {
  file: string;
  /** The first and last byte, where a range was asked for. */
  range: [from: number, to: number] | undefined;
  /** Counts the requests for this file. */
  time: number;
}

/** How an answer goes wrong. */
export interface Fault {
  status?: number;
  /** Answers the whole file. */
  noRanges?: boolean;
  /** Ends after so many bytes, by an error or quietly. */
  cutAfter?: number;
  quietly?: boolean;
  /** Changes the byte of the file at this place. */
  damage?: number;
  /** The network is away. */
  away?: boolean;
  /** Sends nothing more after so many bytes, until the request is ended. */
  hangAfter?: number;
}

/** A server in the place of `fetch`. */
export class FakeServer {
  readonly asked: Asked[] = [];
  /** By file, how often each byte was sent. */
  readonly sent = new Map<string, Uint8Array>();
  readonly #files: Map<string, Bytes>;
  fault: (asked: Asked) => Fault = () => ({});

  constructor(files: Map<string, Bytes>) {
    this.#files = files;
    for (const [file, bytes] of files) this.sent.set(file, new Uint8Array(bytes.length));
  }

  /** Bytes that were sent. */
  get bytes(): number {
    let bytes = 0;
    for (const counts of this.sent.values()) for (const count of counts) bytes += count;
    return bytes;
  }

  /** Bytes that were sent more than once. */
  get twice(): number {
    let bytes = 0;
    for (const counts of this.sent.values()) for (const count of counts) bytes += Math.max(count - 1, 0);
    return bytes;
  }

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const file = url.slice(FOLDER.length);
    const told = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init.headers).get("range") ?? "");
    const range: Asked["range"] = told ? [Number(told[1]), Number(told[2])] : undefined;
    const asked = { file, range, time: this.asked.filter((one) => one.file === file).length };
    this.asked.push(asked);
    const fault = this.fault(asked);
    const bytes = this.#files.get(file);
    if (fault.away) throw new TypeError("Failed to fetch");
    if (fault.status !== undefined) return new Response("", { status: fault.status, statusText: "Trouble" });
    if (!bytes) return new Response("", { status: 404 });
    const [from, to] = range && !fault.noRanges ? range : [0, bytes.length - 1];
    const body = this.#body(file, bytes, from, Math.min(to + 1, bytes.length), fault, init.signal ?? undefined);
    if (!range || fault.noRanges) return new Response(body, { headers: { "content-length": String(bytes.length) } });
    const headers = { "content-range": `bytes ${from}-${to}/${bytes.length}` };
    return new Response(body, { status: 206, headers });
  };

  #body(file: string, bytes: Bytes, from: number, to: number, fault: Fault, signal: AbortSignal | undefined) {
    const end = Math.min(to, from + (fault.cutAfter ?? fault.hangAfter ?? Number.POSITIVE_INFINITY));
    let at = from;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        signal?.addEventListener("abort", () => {
          try {
            controller.error(signal.reason);
          } catch {
            // It has ended.
          }
        });
      },
      pull: async (controller) => {
        if (at < end) {
          const part = bytes.slice(at, Math.min(at + 65_536, end));
          const { damage = -1 } = fault;
          if (damage >= at && damage < at + part.length) part[damage - at] = (part[damage - at] ?? 0) ^ 1;
          const counts = this.sent.get(file);
          for (let i = 0; i < part.length && counts; i += 1) counts[at + i] = (counts[at + i] ?? 0) + 1;
          at += part.length;
          controller.enqueue(part);
        } else if (fault.hangAfter !== undefined) {
          await new Promise(() => {});
        } else if (at < to && !fault.quietly) {
          controller.error(new TypeError("the connection was cut"));
        } else {
          controller.close();
        }
      },
    });
  }
}

/** A catalogue in memory. */
export class FakeCatalogue implements Catalogue {
  readonly models = new Map<string, Kept>();
  readonly there = new Map<string, Set<number>>();

  all = async (): Promise<Kept[]> => [...this.models.values()];
  get = async (id: string): Promise<Kept | undefined> => this.models.get(id);
  put = async (kept: Kept): Promise<void> => void this.models.set(kept.id, kept);
  chunks = async (id: string): Promise<number[]> => [...(this.there.get(id) ?? [])];

  async remove(id: string): Promise<void> {
    this.models.delete(id);
    this.there.delete(id);
  }

  async mark(id: string, chunk: number, there: boolean): Promise<void> {
    const chunks = this.there.get(id) ?? new Set();
    this.there.set(id, chunks);
    if (there) chunks.add(chunk);
    else chunks.delete(chunk);
  }
}

/** Shelves in memory, with room for so many bytes, and one writer a model. */
export class FakeShelves implements Shelves {
  readonly keeper = "opfs";
  readonly models = new Map<string, Map<number, Bytes>>();
  room = Number.POSITIVE_INFINITY;
  readonly #open = new Set<string>();

  async look(id: string) {
    const chunks = this.models.get(id) ?? new Map<number, Bytes>();
    this.models.set(id, chunks);
    return {
      read: async ({ number, bytes }: Chunk): Promise<Bytes | undefined> => {
        const found = chunks.get(number);
        return found?.length === bytes ? found.slice() : undefined;
      },
      write: async ({ number }: Chunk, bytes: Bytes): Promise<void> => {
        if (bytes.length > this.room) throw new DOMException("full", "QuotaExceededError");
        this.room -= bytes.length;
        chunks.set(number, bytes.slice());
      },
      close: () => void this.#open.delete(id),
    };
  }

  async open(id: string) {
    const busy = this.#open.has(id);
    this.#open.add(id);
    const shelf = await this.look(id);
    return {
      ...shelf,
      busy,
      holds: ({ number }: Chunk) => this.models.get(id)?.has(number) ?? false,
      close: busy ? () => {} : shelf.close,
    };
  }

  async remove(id: string): Promise<void> {
    this.models.delete(id);
  }
}
