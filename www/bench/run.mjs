// Speed in headless Chromium, all in one run: node bench/run.mjs URL MODEL TOKENS [--peer]
// Prints one line for each, as JSON. `cargo xtask bench` serves what it needs.
import { chromium } from "@playwright/test";

const [url, model, tokens, peer] = process.argv.slice(2);
const PROMPT = 40;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"],
});

/** Opens a page of the server, and runs a function in it. */
async function inPage(path, work, argument, options) {
  const page = await browser.newPage(options);
  try {
    await page.goto(`${url}/${path}`, { waitUntil: "networkidle" });
    return await page.evaluate(work, argument);
  } finally {
    await page.close();
  }
}

/** MAR: a made-up prompt, and greedy tokens. */
function measureMar(count) {
  const work = ([path, prompt, tokens]) => window.marBench(path, prompt, tokens);
  return inPage("bench.html", work, [`/bench-files/${model}/`, PROMPT, count]);
}

/** How often the page is opened to be timed. */
const OPENINGS = 3;

/** Milliseconds that the raster is watched in each movement. */
const WATCHED = 3000;

/**
 * From the navigation's start to the first text of an answer to "Hello!", and the longest task on the main thread until the
 * answer has ended, in milliseconds, by the page's own clock. Nothing is kept from one opening to the next.
 */
async function openPage() {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.addInitScript(() => {
      const seen = { tasks: [], first: undefined };
      window.seen = seen;
      new PerformanceObserver((list) => {
        for (const { duration, startTime } of list.getEntries()) seen.tasks.push([startTime, duration]);
      }).observe({ type: "longtask", buffered: true });
      const look = () => {
        const [prompt, send, status] = ["prompt", "send", "status"].map((id) => document.getElementById(id));
        if (!window.asked && status?.textContent.includes("is ready") && send) {
          prompt.value = "Hello!";
          prompt.dispatchEvent(new Event("input"));
          window.asked = performance.now();
          send.click();
        }
        if (window.asked && document.querySelector(".assistant .token")) seen.first ??= performance.now();
      };
      new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
      document.addEventListener("mar:reply", () => {
        seen.ended = performance.now();
      });
    });
    await page.goto(`${url}/`);
    await page.waitForFunction(() => window.seen.ended !== undefined && window.seen.first !== undefined);
    return await page.evaluate(() => {
      const { first, tasks } = window.seen;
      const during = tasks.filter(([start]) => start >= window.asked).map(([, duration]) => duration);
      return { first, longest: Math.max(0, ...during) };
    });
  } finally {
    await context.close();
  }
}

async function measurePage() {
  const openings = [];
  for (let opening = 0; opening < OPENINGS; opening += 1) openings.push(await openPage());
  const middle = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
  return {
    first_token_ms: middle(openings.map(({ first }) => first)),
    // 0 where none takes 50 ms.
    longest_task_while_answering_ms: middle(openings.map(({ longest }) => longest)),
  };
}

/**
 * The raster's frames, and what one takes of the main thread: our script, and all of it with the browser's own work there, in
 * milliseconds of the thread's own time, which other programs do not lengthen. Rasterising and compositing run elsewhere.
 */
async function measureRaster() {
  const page = await browser.newPage();
  try {
    await page.goto(`${url}/bench.html`, { waitUntil: "networkidle" });
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
    const taken = async () => {
      const { metrics } = await devtools.send("Performance.getMetrics");
      return Object.fromEntries(metrics.map(({ name, value }) => [name, value * 1000]));
    };
    const movements = await page.evaluate(() => {
      window.raster = new window.RasterBench();
      return window.raster.movements;
    });
    const found = [];
    for (const movement of movements) {
      await page.evaluate((movement) => window.raster.prepare(movement), movement);
      const before = await taken();
      const watch = ([movement, milliseconds]) => window.raster.watch(movement, milliseconds);
      const { frames, ...rates } = await page.evaluate(watch, [movement, WATCHED]);
      const after = await taken();
      const each = (name) => (after[name] - before[name]) / frames;
      found.push([movement, { ...rates, script_ms: each("ScriptDuration"), main_thread_ms: each("TaskDuration") }]);
    }
    return found;
  } finally {
    await page.close();
  }
}

/** wllama: a prompt of about as many tokens, and greedy ones, on one thread. */
function measurePeer(count) {
  const work = async (tokens) => {
    const folder = "/bench-files/node_modules/@wllama/wllama/esm";
    const { Wllama } = await import(`${folder}/index.js`);
    const wllama = new Wllama({ default: `${folder}/wasm/wllama.wasm` });
    const start = performance.now();
    const blob = await (await fetch("/bench-files/peer.gguf")).blob();
    await wllama.loadModel([blob], { n_threads: 1, n_gpu_layers: 0, n_ctx: 1024 });
    const loaded = performance.now();
    const messages = [{ role: "user", content: "Write a short story about a robot who learns to paint." }];
    const chat = { messages, max_tokens: tokens, temperature: 0, top_k: 1, stream: true };
    const times = [];
    for await (const _ of await wllama.createChatCompletion(chat)) times.push(performance.now());
    return {
      backend: "wllama, one thread",
      decode_tokens_per_second: (times.length - 1) / ((times.at(-1) - times[0]) / 1000),
      time_to_first_token_ms: times[0] - loaded,
      load_ms: loaded - start,
    };
  };
  // It makes its worker of text, which our pages forbid.
  return inPage("bench.html", work, count, { bypassCSP: true });
}

/** Figures as they are; tokens are no figure. */
function print(name, { tokens: _, ...figures }) {
  console.log(JSON.stringify({ name, ...figures }));
}

try {
  console.log(await browser.version());
  print(`page opened to the first token, median of ${OPENINGS}`, await measurePage());
  for (const [movement, frames] of await measureRaster()) {
    print(`raster of 2,000 neurons by 512 micro-steps, ${movement}`, frames);
  }
  const mar = await measureMar(Number(tokens));
  print("MAR smol-135m, random weights", mar);
  if (peer) {
    const other = await measurePeer(Number(tokens));
    print("SmolLM2-135M-Instruct Q4_1", other);
    // The machine's speed drifts: ours once more, on the other side of the peer.
    const again = await measureMar(Number(tokens));
    print("MAR smol-135m, random weights", again);
    const ours = (mar.decode_tokens_per_second + again.decode_tokens_per_second) / 2;
    console.log(`MAR decodes ${(ours / other.decode_tokens_per_second).toFixed(2)} times as fast`);
  }
} finally {
  await browser.close();
}
