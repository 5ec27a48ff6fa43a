// A model's files into a loader, in the order that it wants, from the browser's storage and from a server.
import { type ModelLoader, sha256 as slowSha256 } from "../../pkg/mar";
import { type Digest, sha256 } from "../store/digest";
import { Library, NOTHING, unkept } from "../store/library";
import { Meter } from "../store/meter";
import { type Bytes, bytesOf, chunksOf, filesOf, isWeights, type Listed } from "../store/plan";
import { cannotFetch } from "../store/request";
import { ChunkStream } from "../store/stream";
import type { Progress, Source, Storing } from "./messages";

/** Files of a model without a manifest: all but the first say how it chats. */
const UNLISTED = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"];

/** Told while a model comes. */
export interface Told {
  /** The weights are next. */
  weights: () => Promise<void>;
  progress: (progress: Progress) => void;
  storing: (storing: Storing) => void;
}

/** WebCrypto is not everywhere; the engine's own hash is. */
const digest: Digest = globalThis.crypto?.subtle ? sha256 : async (bytes) => slowSha256(bytes);

/** Models that come, which may be held. */
export class Downloads {
  #stream: ChunkStream | undefined;
  #paused = false;

  constructor() {
    addEventListener("online", () => this.#stream?.hurry());
  }

  /** Holds the download, or lets it go on. */
  set paused(paused: boolean) {
    this.#paused = paused;
    if (this.#stream) this.#stream.paused = paused;
  }

  /** Puts a model into the loader. Every byte that its manifest lists is checked before it is used or kept. */
  async load({ url, sha256, keep }: Source, loader: ModelLoader, told: Told): Promise<void> {
    this.#paused = false;
    const folder = url.endsWith("/") ? url : `${url}/`;
    const library = keep ? await Library.open(true) : undefined;
    const manifest = await findManifest(folder, sha256, library);
    if (!manifest) return await loadUnlisted(folder, loader, told);
    const id = await digest(manifest);
    if (sha256 !== undefined && id !== sha256.toLowerCase()) throw new Error(wrongManifest(folder, id, sha256));
    loader.file("manifest.json", manifest);
    const files = filesOf(manifest);
    const chunks = chunksOf(files);
    const opening = library?.open({ id, url: folder, manifest, chunks }, told.storing);
    // What cannot be kept is loaded all the same.
    const entry = (await opening?.catch((error: unknown) => told.storing(unkept(error)))) ?? NOTHING;
    if (!library) told.storing({ keeper: "memory", full: false, why: keep ? "this browser denies storage" : "" });
    const meter = new Meter(bytesOf(chunks), told.progress);
    // What we keep need not be kept twice.
    const cache = entry === NOTHING ? "default" : "no-store";
    const stream = new ChunkStream({ folder, chunks, entry, cache, digest, meter });
    this.#stream = stream;
    if (this.#paused) stream.paused = true;
    // Also while nothing comes.
    const ticks = setInterval(() => meter.tick(), 1000);
    try {
      await feed(loader, files, stream, told);
      meter.tick();
    } finally {
      clearInterval(ticks);
      this.#stream = undefined;
      entry.close();
    }
  }
}

/** Hands chunks to the loader: small files whole, the weights as they come. */
async function feed(loader: ModelLoader, files: readonly Listed[], stream: ChunkStream, told: Told): Promise<void> {
  let weights = false;
  let small: { bytes: Bytes; filled: number } | undefined;
  for await (const { chunk, bytes } of stream.pieces()) {
    const size = files.find(({ path }) => path === chunk.file)?.bytes ?? 0;
    if (isWeights(chunk.file)) {
      if (!weights) await told.weights();
      weights = true;
      if (chunk.index === 0) loader.weights(chunk.file, size);
      loader.push(bytes);
      continue;
    }
    if (chunk.index === 0) small = { bytes: new Uint8Array(size), filled: 0 };
    small?.bytes.set(bytes, small.filled);
    if (small) small.filled += bytes.length;
    if (small?.filled === size) loader.file(chunk.file, small.bytes);
  }
}

/** The manifest that is asked for by its hash, else the server's, else the one that was there last time. */
async function findManifest(
  folder: string,
  sha256: string | undefined,
  library: Library | undefined,
): Promise<Bytes | undefined> {
  const pinned = sha256 === undefined ? undefined : await library?.manifest(sha256.toLowerCase(), folder);
  if (pinned) return pinned;
  try {
    const found = await take(folder, "manifest.json");
    if (found || sha256 === undefined) return found;
  } catch (error) {
    const kept = sha256 === undefined ? await library?.manifest(undefined, folder) : undefined;
    if (kept) return kept;
    throw error;
  }
  throw new Error(`${folder}manifest.json is not there; is this the address of a model's folder?`);
}

function wrongManifest(folder: string, found: string, expected: string): string {
  const way = "the model there has changed; reload the page for its newest version, or ask for it without the hash";
  return `${folder}manifest.json has sha-256 ${found}, expected ${expected}; ${way}`;
}

/** Loads a model without a manifest: nothing says what is right, so nothing is kept. */
async function loadUnlisted(folder: string, loader: ModelLoader, told: Told): Promise<void> {
  for (const name of UNLISTED) {
    const bytes = await take(folder, name);
    if (bytes) loader.file(name, bytes);
    else if (name === UNLISTED[0])
      throw new Error(`${folder + name} is not there; is this the address of a model's folder?`);
  }
  const url = `${folder}model.safetensors`;
  const response = await ask(url);
  if (!response?.body) throw new Error(`${url} is not there`);
  const bytes = Number(response.headers.get("content-length") ?? Number.NaN);
  if (!Number.isSafeInteger(bytes)) throw new Error(`the server does not tell how large ${url} is`);
  await told.weights();
  loader.weights("model.safetensors", bytes);
  const meter = new Meter(bytes, told.progress);
  const reader = response.body.getReader();
  const next = (): Promise<ReadableStreamReadResult<Uint8Array>> =>
    reader.read().catch((error: unknown) => {
      throw cannotFetch(url, error);
    });
  try {
    for (let part = await next(); !part.done; part = await next()) {
      loader.push(part.value);
      meter.came(part.value.length);
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
  meter.tick();
}

/** Fetches a small file. `undefined` where it is not there. */
async function take(folder: string, name: string): Promise<Bytes | undefined> {
  const response = await ask(folder + name);
  return response && new Uint8Array(await response.arrayBuffer());
}

/** The answer, or `undefined` where there is no such file. */
async function ask(url: string): Promise<Response | undefined> {
  const response = await fetch(url, { cache: "no-cache" }).catch((error: unknown) => {
    throw cannotFetch(url, error);
  });
  if (response.status === 404) return undefined;
  if (!response.ok)
    throw new Error(`cannot fetch ${url}: the server answers ${response.status} ${response.statusText}`);
  return response;
}
