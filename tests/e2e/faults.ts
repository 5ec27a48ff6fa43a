// Faults that tests put into the engine's worker: scripts that run before its own. What is shipped knows nothing of them.
import type { Page, Worker } from "@playwright/test";

/**
 * What the scripts find in the worker: `devices`, every GPU device that was opened; `loseGpu()`, which destroys the newest;
 * `useUpMemory()`, after which the next thing that the engine wants is a trap. What they may define: `onDevice(device, count)`,
 * `onRead()` before each read-back from a GPU, `onPost(message)` after each message to the page.
 */
const PRELUDE = `
globalThis.devices = [];
globalThis.loseGpu = () => devices.at(-1)?.destroy();
if (globalThis.GPUAdapter) {
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (...given) {
    const device = await requestDevice.apply(this, given);
    devices.push(device);
    globalThis.onDevice?.(device, devices.length);
    return device;
  };
  const { mapAsync } = GPUBuffer.prototype;
  GPUBuffer.prototype.mapAsync = function (...given) {
    globalThis.onRead?.();
    return mapAsync.apply(this, given);
  };
}
for (const name of ["instantiate", "instantiateStreaming"]) {
  const instantiate = WebAssembly[name];
  WebAssembly[name] = async (...given) => {
    const made = await instantiate.apply(WebAssembly, given);
    globalThis.exports = (made.instance ?? made).exports;
    return made;
  };
}
globalThis.useUpMemory = () => {
  for (let bytes = 2 ** 28; bytes >= 8; bytes /= 2) {
    try {
      while (exports.__wbindgen_malloc(bytes, 1) !== 0);
    } catch {}
  }
};
const post = globalThis.postMessage;
globalThis.postMessage = (...given) => {
  post.apply(globalThis, given);
  globalThis.onPost?.(given[0]);
};
`;

/** Lets `script` run in every engine's worker of a page that is opened later. */
export async function inject(page: Page, script = ""): Promise<void> {
  await page.route("**/assets/worker-*.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: withFaults(await response.text(), script) });
  });
}

/** A worker's own script, with `script` before it. */
export function withFaults(own: string, script: string): string {
  return `${PRELUDE}\n${script}\n${own}`;
}

/** Sets something for the scripts, in the newest worker and in none that follows it. */
export async function setInWorker(page: Page, values: Record<string, unknown>): Promise<void> {
  const worker: Worker | undefined = page.workers().at(-1);
  if (!worker) throw new Error("there is no worker");
  await worker.evaluate((values) => void Object.assign(globalThis, values), values);
}
