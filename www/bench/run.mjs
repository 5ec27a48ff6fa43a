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
async function inPage(path, work, argument) {
  const page = await browser.newPage();
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
  return inPage("bench.html", work, count);
}

/** Figures as they are; tokens are no figure. */
function print(name, { tokens: _, ...figures }) {
  console.log(JSON.stringify({ name, ...figures }));
}

try {
  console.log(await browser.version());
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
