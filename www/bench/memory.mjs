// Private memory of Chromium's processes while the page loads a model: node bench/memory.mjs URL TIMES MODEL...
// Prints one line for each visit, as JSON. Linux only: the kernel counts. No developer tools are open: those keep every
// answer of a server, so what is loaded would be counted twice. That also means that nothing tells when a load has ended.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [url, times, ...models] = process.argv.slice(2);

/** Milliseconds of a visit, and between two looks in it. */
const [VISIT, LOOK] = [20_000, 50];

/** A file of a process; "" where it has ended. */
function about(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

/** MiB that no other process has, of the page with its workers: of the browser's renderers the largest. */
function privateMemory(browser) {
  const parents = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    parents.set(Number(pid), Number(about(pid, "stat").split(") ").at(-1)?.split(" ")[1]));
  }
  const isOurs = (pid) => pid === browser || (parents.has(pid) && isOurs(parents.get(pid)));
  const isPage = (pid) => isOurs(pid) && about(pid, "cmdline").includes("--type=renderer");
  const sizes = [...parents.keys()].filter(isPage).map((pid) => {
    const rows = about(pid, "smaps_rollup").matchAll(/^Private_\w+:\s+(\d+) kB/gm);
    return [...rows].reduce((sum, [, kib]) => sum + Number(kib) / 1024, 0);
  });
  return Math.max(0, ...sizes);
}

/** Opens the page for a while, with the storage that `profile` has. Returns the most that it held. */
async function visit(profile, model) {
  const address = `${url}/?model=models/${model}&backend=cpu`;
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
  const browser = spawn(process.env.CHROMIUM, [...flags, `--user-data-dir=${profile}`, address], { stdio: "ignore" });
  const ended = new Promise((resolve) => browser.once("exit", resolve));
  const end = performance.now() + VISIT;
  let peak = 0;
  for (; performance.now() < end; await sleep(LOOK)) peak = Math.max(peak, privateMemory(browser.pid));
  browser.kill();
  await ended;
  return peak;
}

for (let time = 0; time < Number(times); time++) {
  for (const model of models) {
    const profile = mkdtempSync(join(tmpdir(), "mar-memory-"));
    for (const from of ["network", "storage"]) {
      console.log(JSON.stringify({ model, from, peak_mib: Math.round(await visit(profile, model)) }));
    }
    rmSync(profile, { recursive: true, force: true });
  }
}
