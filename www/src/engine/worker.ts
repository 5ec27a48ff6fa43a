// The engine's side: owns the WebAssembly, does one job at a time, and hears "stop" and the dials between two tokens.
import init, { type Dials, type Engine, type EngineEvent, ModelLoader } from "../../pkg/mar";
import wasmUrl from "../../pkg/mar_bg.wasm?url";
import { adapterName, withName } from "./adapter";
import { Breather } from "./breather";
import { Downloads } from "./download";
import {
  type Backend,
  type BackendChoice,
  type Dial,
  type FromEngine,
  type Job,
  type Jobs,
  memoryOf,
  type Source,
  type ToEngine,
} from "./messages";

let engine: Engine | undefined;
let dials: Dials | undefined;
let adapter = "";
let stopped = false;
const breather = new Breather();
const downloads = new Downloads();
const wasm = init({ module_or_path: wasmUrl });
// Whoever asks for a job is told.
wasm.catch(() => {});

function post(message: FromEngine): void {
  postMessage(message, { transfer: memoryOf(message) });
}

function named(choice: BackendChoice): BackendChoice {
  return { ...choice, name: withName(choice.name, adapter), why: withName(choice.why, adapter) };
}

async function listen(event: EngineEvent): Promise<boolean> {
  if (event.type === "moved") {
    // It may be another GPU.
    adapter = await adapterName();
    post({ type: "event", event: { ...event, backend: named(event.backend) } });
  } else if (event.type === "work") post({ type: "alive" });
  else post({ type: "event", event });
  await breather.breathe();
  return !stopped;
}

function loaded(): Engine {
  if (!engine) throw new Error("no model is loaded");
  return engine;
}

/** The model, on its way to what is to run it. A download may take as long as it likes, and opening a GPU may not. */
async function fetchModel(loader: ModelLoader, source: Source, backend: Backend): Promise<ModelLoader> {
  post({ type: "excuse", why: "fetching" });
  try {
    await downloads.load(source, loader, {
      weights: async () => {
        post({ type: "excuse", why: "building" });
        await loader.place(backend);
        post({ type: "excuse", why: "fetching" });
      },
      progress: (progress) => post({ type: "progress", progress }),
      storing: (storing) => post({ type: "storing", storing }),
    });
  } catch (error) {
    // What has trapped answers nobody any more.
    if (!(error instanceof WebAssembly.RuntimeError)) loader.abandon();
    throw error;
  }
  post({ type: "excuse", why: "building" });
  return loader;
}

const jobs: { [J in Job]: (ask: Jobs[J]["ask"]) => Promise<Jobs[J]["answer"]> } = {
  load: async (ask) => {
    engine?.free();
    dials?.free();
    engine = dials = undefined;
    const loader = await fetchModel(new ModelLoader(), ask.source, ask.backend);
    adapter = await adapterName();
    engine = await loader.finish(listen, (backend) => fetchModel(ModelLoader.again(), ask.source, backend));
    dials = engine.dials();
    return { shape: engine.shape(), backend: named(engine.backend()) };
  },
  chat: async ({ messages, options, said = [] }) => {
    const reply = await loaded().chat(messages, options, Uint32Array.from(said));
    const { backend, why } = reply.stats;
    return { ...reply, stats: { ...reply.stats, backend: withName(backend, adapter), why: withName(why, adapter) } };
  },
  replay: (replay) => loaded().replay(replay),
  loss: ({ text }) => loaded().loss(text),
  save: async () => (await loaded().save()) as Uint8Array<ArrayBuffer>,
  restore: async (bytes) => {
    loaded().load(bytes);
    return null;
  },
  reset: async () => {
    loaded().reset();
    return null;
  },
  choices: (tokens) => loaded().choices(tokens),
  measure: ({ prompt, tokens }) => loaded().measure(prompt, tokens),
};

async function work<J extends Job>(job: J, ask: Jobs[J]["ask"]): Promise<void> {
  stopped = false;
  try {
    await wasm;
    // Somebody may have changed their mind already.
    await breather.pause();
    post({ type: "done", answer: await jobs[job](ask) });
  } catch (error) {
    post({ type: "failed", ...failure(error) });
  }
}

/** The sentence of an error, and whether anything can be done after it. */
function failure(error: unknown): { message: string; broken: boolean } {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof WebAssembly.CompileError || error instanceof WebAssembly.LinkError) {
    const way = "use a browser with WebAssembly SIMD: Chrome 91, Firefox 89, Safari 16.4, or a newer one";
    return { message: `this browser cannot run the engine (${message}); ${way}`, broken: true };
  }
  if (error instanceof WebAssembly.RuntimeError) return { message: `the engine broke (${message})`, broken: true };
  return { message, broken: false };
}

function turn(id: number, dial: Dial): void {
  try {
    if (!dials) throw new Error("no model is loaded");
    if (dial.name === "set") dials.set(dial.value);
    else dials.watch(dial.value);
    post({ type: "turned", id });
  } catch (error) {
    post({ type: "turned", id, problem: failure(error).message });
  }
}

addEventListener("message", ({ data }: MessageEvent<ToEngine>) => {
  if (data.type === "stop") stopped = true;
  else if (data.type === "turn") turn(data.id, data.dial);
  else if (data.type === "pause") downloads.paused = data.paused;
  else void work(data.job, data.ask);
});
