// A model's files from a server into a loader, in the order that it wants.
import type { ModelLoader } from "../../pkg/mar";
import type { Progress } from "./messages";

const WEIGHTS = "model.safetensors";

/** Fetches the model in the folder `url`. Every byte that its manifest lists is checked by the loader. */
export async function download(url: string, loader: ModelLoader, report: (progress: Progress) => void): Promise<void> {
  const folder = url.endsWith("/") ? url : `${url}/`;
  const manifest = await take(folder, "manifest.json", loader, false);
  await take(folder, "config.json", loader, true);
  for (const name of ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]) {
    if (!manifest || listed(manifest, name) !== undefined) await take(folder, name, loader, false);
  }
  const response = await request(folder + WEIGHTS);
  if (!response?.body) throw new Error(`${folder + WEIGHTS} is not there`);
  // A compressed answer does not tell the size of what comes out of it, so the manifest is asked first.
  const total = (manifest && listed(manifest, WEIGHTS)) ?? Number(response.headers.get("content-length") ?? Number.NaN);
  if (!Number.isSafeInteger(total)) throw new Error(`the server does not tell how large ${folder + WEIGHTS} is`);
  loader.weights(total);
  let received = 0;
  // Not every browser can iterate over a stream.
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    loader.push(part.value);
    received += part.value.length;
    report({ received, total });
  }
}

/** Fetches a small file into the loader. `undefined` where it is not there and need not be. */
async function take(
  folder: string,
  name: string,
  loader: ModelLoader,
  needed: boolean,
): Promise<Uint8Array | undefined> {
  const response = await request(folder + name);
  if (!response) {
    if (needed) throw new Error(`${folder + name} is not there; is this the address of a model's folder?`);
    return undefined;
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  loader.file(name, bytes);
  return bytes;
}

/** The answer, or `undefined` where there is no such file. */
async function request(url: string): Promise<Response | undefined> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new Error(`cannot fetch ${url}: ${error instanceof Error ? error.message : error}`);
  }
  if (response.status === 404) return undefined;
  if (!response.ok)
    throw new Error(`cannot fetch ${url}: the server answers ${response.status} ${response.statusText}`);
  return response;
}

/** The size of a file by the manifest, which the loader has checked. */
function listed(manifest: Uint8Array, name: string): number | undefined {
  const { files } = JSON.parse(new TextDecoder().decode(manifest)) as { files: { path: string; bytes: number }[] };
  return files.find((file) => file.path === name)?.bytes;
}
