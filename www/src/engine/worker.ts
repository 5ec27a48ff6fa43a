// The engine's side: owns the WebAssembly, does one job at a time, and hears "stop" between two tokens.
import init, { type Engine, ModelLoader } from "../../pkg/mar";
import wasmUrl from "../../pkg/mar_bg.wasm?url";
import { Breather } from "./breather";
import { download } from "./download";
import type { ChatEvent, FromEngine, ToEngine } from "./messages";

let engine: Engine | undefined;
let stopped = false;
const breather = new Breather();
const wasm = init({ module_or_path: wasmUrl });

function post(message: FromEngine): void {
  postMessage(message);
}

async function work(message: Exclude<ToEngine, { type: "stop" }>): Promise<FromEngine> {
  await wasm;
  if (message.type === "load") {
    engine?.free();
    engine = undefined;
    const loader = new ModelLoader();
    await download(message.url, loader, (progress) => post({ type: "progress", progress }));
    engine = await loader.finish(message.backend);
    return { type: "ready", ready: { info: engine.info(), backend: engine.backend() } };
  }
  if (!engine) throw new Error("no model is loaded");
  if (message.type === "measure") {
    return { type: "measured", measurement: await engine.measure(message.prompt, message.tokens) };
  }
  stopped = false;
  const reply = await engine.chat(message.messages, message.options, async (event: ChatEvent) => {
    post({ type: "chat-event", event });
    await breather.breathe();
    return !stopped;
  });
  return { type: "reply", reply };
}

/** The sentence of an error; a fault of ours says so. */
function sentence(error: unknown): string {
  if (error instanceof WebAssembly.RuntimeError) {
    engine = undefined;
    return `the engine broke (${error.message}); load the model again`;
  }
  return error instanceof Error ? error.message : String(error);
}

addEventListener("message", (event: MessageEvent<ToEngine>) => {
  if (event.data.type === "stop") {
    stopped = true;
    return;
  }
  work(event.data).then(post, (error: unknown) => post({ type: "failed", message: sentence(error) }));
});
