// What of a model is fetched, in which order, cut into the chunks that its manifest has hashes of.

/** The size of every chunk but a file's last. */
export const CHUNK_BYTES = 1 << 20;

/** Bytes that nobody else changes. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** A file of a manifest that the engine has checked. */
export interface Listed {
  path: string;
  bytes: number;
  chunks: string[];
}

/** A part of a model with a hash of its own. */
export interface Chunk {
  /** Place in the plan. */
  number: number;
  file: string;
  /** Place in its file, in chunks. */
  index: number;
  /** Place in its file, in bytes. */
  at: number;
  bytes: number;
  sha256: string;
  /** Place in the plan, in bytes: where it is kept. */
  offset: number;
}

/** Files before the weights. All but the first say how a model chats, and a model may lack them. */
const SMALL = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"];

const WEIGHTS = /^model\.safetensors(\.\d\d)?$/;

/** Whether a file holds weights: the whole of them, or a piece. */
export function isWeights(path: string): boolean {
  return WEIGHTS.test(path);
}

/** The files that a model is loaded from, in the loader's order. `manifest` has been checked by the loader. */
export function filesOf(manifest: Uint8Array): Listed[] {
  const { files } = JSON.parse(new TextDecoder().decode(manifest)) as { files: Listed[] };
  const small = SMALL.flatMap((name) => files.find(({ path }) => path === name) ?? []);
  const weights = files.filter(({ path }) => isWeights(path)).sort((a, b) => (a.path < b.path ? -1 : 1));
  return [...small, ...weights];
}

/** The chunks of these files, in order. */
export function chunksOf(files: readonly Listed[]): Chunk[] {
  const chunks: Chunk[] = [];
  let offset = 0;
  for (const { path, bytes, chunks: hashes } of files) {
    for (const [index, sha256] of hashes.entries()) {
      const at = index * CHUNK_BYTES;
      const size = Math.min(CHUNK_BYTES, bytes - at);
      chunks.push({ number: chunks.length, file: path, index, at, bytes: size, sha256, offset });
      offset += size;
    }
  }
  return chunks;
}

/** Bytes of all of them. */
export function bytesOf(chunks: readonly Chunk[]): number {
  return chunks.reduce((sum, { bytes }) => sum + bytes, 0);
}
