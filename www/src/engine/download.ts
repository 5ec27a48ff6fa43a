// A model's files from a server into a loader, in the order that it wants.
import type { ModelLoader } from "../../pkg/mar";
import type { Progress } from "./messages";

const WEIGHTS = "model.safetensors";

/** Files that a model has if it can chat. */
const CHAT_FILES = ["tokenizer.json", "tokenizer_config.json", "generation_config.json"];

/** A file of the manifest, which the loader has checked. */
interface Listed {
  path: string;
  bytes: number;
}

/** Fetches the model in the folder `url`. Every byte that its manifest lists is checked by the loader. */
export async function download(url: string, loader: ModelLoader, report: (progress: Progress) => void): Promise<void> {
  const folder = url.endsWith("/") ? url : `${url}/`;
  const manifest = await take(folder, "manifest.json", loader);
  const listed = manifest && (JSON.parse(new TextDecoder().decode(manifest)) as { files: Listed[] }).files;
  await takeNeeded(folder, "config.json", loader);
  for (const name of CHAT_FILES) {
    if (!listed) await take(folder, name, loader);
    else if (listed.some((file) => file.path === name)) await takeNeeded(folder, name, loader);
  }
  await takeWeights(folder, loader, listed && weightsOf(listed), report);
}

/** The files that hold the weights, in order: the whole, or its pieces. The loader refuses a list with a gap. */
function weightsOf(listed: Listed[]): Listed[] {
  const weights = listed.filter(({ path }) => path === WEIGHTS || /^model\.safetensors\.\d\d$/.test(path));
  return weights.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Fetches the weights, one file after the other. Only a manifest knows of pieces. */
async function takeWeights(
  folder: string,
  loader: ModelLoader,
  listed: Listed[] | undefined,
  report: (progress: Progress) => void,
): Promise<void> {
  let received = 0;
  let total = listed?.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { path, bytes } of listed ?? [{ path: WEIGHTS, bytes: undefined }]) {
    const response = await request(folder + path);
    if (!response?.body) throw new Error(`${folder + path} is not there`);
    // A compressed answer does not tell the size of what comes out of it, so the manifest is asked first.
    const size = bytes ?? Number(response.headers.get("content-length") ?? Number.NaN);
    if (!Number.isSafeInteger(size)) throw new Error(`the server does not tell how large ${folder + path} is`);
    total ??= size;
    loader.weights(path, size);
    for await (const part of parts(response.body, folder + path)) {
      loader.push(part);
      received += part.length;
      report({ received, total });
    }
  }
}

/** What comes of an answer. Whoever stops asking for more ends the download. */
async function* parts(body: ReadableStream<Uint8Array>, url: string): AsyncGenerator<Uint8Array, void> {
  // Not every browser can iterate over a stream.
  const reader = body.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } catch (error) {
    throw cannotFetch(url, error);
  } finally {
    // It may have ended by itself, or failed: all the same.
    reader.cancel().catch(() => undefined);
  }
}

/** Fetches a small file into the loader. `undefined` where it is not there. */
async function take(folder: string, name: string, loader: ModelLoader): Promise<Uint8Array | undefined> {
  const response = await request(folder + name);
  if (!response) return undefined;
  const bytes = new Uint8Array(await response.arrayBuffer());
  loader.file(name, bytes);
  return bytes;
}

/** Fetches a small file that must be there into the loader. */
async function takeNeeded(folder: string, name: string, loader: ModelLoader): Promise<void> {
  if (await take(folder, name, loader)) return;
  throw new Error(`${folder + name} is not there; is this the address of a model's folder?`);
}

/** The answer, or `undefined` where there is no such file. */
async function request(url: string): Promise<Response | undefined> {
  const response = await fetch(url).catch((error: unknown) => {
    throw cannotFetch(url, error);
  });
  if (response.status === 404) return undefined;
  if (!response.ok)
    throw new Error(`cannot fetch ${url}: the server answers ${response.status} ${response.statusText}`);
  return response;
}

function cannotFetch(url: string, error: unknown): Error {
  return new Error(`cannot fetch ${url}: ${error instanceof Error ? error.message : error}`);
}
