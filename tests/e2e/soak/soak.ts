// What is done turn by turn, and what must hold after each.
import { type Browser, expect, type Page } from "@playwright/test";
import type { Message } from "../../../www/src/mar";
import { inject, setInWorker } from "../faults";
import { openMar } from "../mar";
import { greedy, watch } from "../page";
import { Chance } from "./chance";
import { pageBytes } from "./memory";
import { Person, WORKER_SCRIPT } from "./person";

/** Tokens of the longest answer. */
const LONGEST = 20;

/** Messages after which a new chat is begun. */
const MOST_MESSAGES = 10;

/** What a page may hold at its end, as a multiple of what it held at its beginning. */
const GROWTH = 1.1;

const GREETING = "Hello! How are you today?";

const QUESTIONS = [
  "Tell me a story about a dog.",
  "What is the capital of France?",
  "Why is the sky blue?",
  "What do you like to eat?",
  "My cat is ill. What should I do?",
  "What is two plus three?",
  "Thank you, good night!",
] as const;

/** How often an answer is asked for in some way. */
const WAYS = { ask: 5, edit: 2, regenerate: 2 };

/** How often something is done before that. */
const ERRANDS = {
  nothing: 8,
  reload: 1,
  branch: 1,
  "switch the backend": 1,
  "lose the device": 1,
  "kill the worker": 1,
};

/** How often something happens to an answer on its way. */
const FAULTS = { nothing: 6, stop: 2, "lose the device": 3, "kill the worker": 2, "cut the network": 1, reload: 1 };

/** What a fault does to the engine's worker (`WORKER_SCRIPT`). */
const FATAL = {
  "lose the device": "loseGpu",
  "kill the worker": "useUpMemory",
  "cut the network": "useUpMemory",
} as const;

/** Faults of one kind, and how many answers came nevertheless. */
interface Count {
  injected: number;
  recovered: number;
}

/** What the console may say where the network was cut. */
const OFFLINE = /ERR_INTERNET_DISCONNECTED/;

/** One run. */
export class Soak {
  readonly #page: Page;
  readonly #person: Person;
  readonly #chance: Chance;
  /** Another browser's page with an engine that nothing happens to. */
  readonly #fresh: Page;
  readonly #wrong: string[];
  readonly #counts = new Map<string, Count>();
  #backend: "cpu" | "webgpu" = "webgpu";
  #path: Message[] = [];
  /** Faults whose end the next answer shows. */
  readonly #waiting: string[] = [];
  /** Bytes that were held at the first look. */
  readonly #held = new Map<string, number>();

  private constructor(page: Page, fresh: Page, wrong: string[], seed: number) {
    this.#page = page;
    this.#person = new Person(page);
    this.#fresh = fresh;
    this.#wrong = wrong;
    this.#chance = new Chance(seed);
  }

  /** Opens the page and answers a first question. */
  static async begin(page: Page, browser: Browser, seed: number): Promise<Soak> {
    const fresh = await (await browser.newContext()).newPage();
    await openMar(fresh, "cpu");
    await inject(page, WORKER_SCRIPT);
    const soak = new Soak(page, fresh, watch(page), seed);
    await soak.#person.open("");
    await greedy(page, LONGEST);
    await soak.#switchTo("webgpu");
    await soak.#greet();
    return soak;
  }

  /** One answer, and all that happens around it. */
  async turn(number: number): Promise<void> {
    const chance = this.#chance;
    if (this.#path.length >= MOST_MESSAGES) await this.#greet();
    const [errand, fault, way] = [chance.weighed(ERRANDS), chance.weighed(FAULTS), chance.weighed(WAYS)];
    const [text, after, question] = [chance.of(QUESTIONS), chance.between(1, 12), chance.number()];
    console.log(`turn ${number}: ${errand}; ${way} "${text}"; ${fault}, after ${after} tokens`);
    await this.#do(errand);
    const questions = this.#path.filter(({ role }) => role === "user").length;
    const acts = {
      ask: () => this.#person.say(text),
      edit: () => this.#person.edit(Math.floor(question * questions), text),
      regenerate: () => this.#person.regenerate(),
    };
    // After a reload in the middle of it, or where nothing came, the last one may be a question.
    const act = acts[this.#path.at(-1)?.role === "assistant" ? way : "ask"];
    if (fault === "reload") await this.#leave(act);
    else await this.#answer(act, fault, after);
    expect(this.#wrong, "the console is clean").toEqual([]);
  }

  /** The last look at the page, and the sum of it all. */
  async end(): Promise<void> {
    await this.#greet();
    for (const [fault, { injected, recovered }] of [...this.#counts].sort()) {
      console.log(`${fault}: ${injected} injected, ${recovered} recovered, ${injected - recovered} answers lost`);
    }
    await this.#fresh.context().close();
  }

  async #do(errand: keyof typeof ERRANDS): Promise<void> {
    if (errand === "reload") {
      await this.#person.reload();
      expect(await this.#person.shown()).toEqual(this.#path);
    } else if (errand === "branch") {
      const others = this.#page.getByRole("button", { name: /^Show the branch/, disabled: false });
      if ((await others.count()) > 0) await others.first().click();
      this.#path = await this.#person.shown();
    } else if (errand === "switch the backend") {
      await this.#switchTo(this.#backend === "cpu" ? "webgpu" : "cpu");
    } else if (errand !== "nothing") {
      await this.#set({ tokensLeft: 0 });
      await this.#page.workers().at(-1)?.evaluate(`${FATAL[errand]}()`);
      if (errand !== "lose the device" || this.#backend === "webgpu") this.#waiting.push(`${errand} while idle`);
    }
  }

  /** Has a question answered, and compares the answer with a fresh engine's. */
  async #answer(act: () => Promise<void>, fault: keyof typeof FAULTS, after: number): Promise<void> {
    const page = this.#page;
    const cut = fault === "cut the network";
    const fatal = fault === "stop" || fault === "nothing" || fault === "reload" ? undefined : FATAL[fault];
    if (fatal) await this.#set({ fault: fatal, tokensLeft: after });
    const { asked, reply } = await this.#person.answered(act, async () => {
      if (cut) await page.context().setOffline(true);
      if (fault !== "stop") return;
      await expect(page.getByTestId("message-assistant").last()).not.toBeEmpty();
      await page.keyboard.press("Escape");
    });
    if (cut) {
      await page.context().setOffline(false);
      this.#wrong.splice(0, Infinity, ...this.#wrong.filter((words) => !OFFLINE.test(words)));
    }
    const [before, path] = [this.#path, await this.#person.shown()];
    this.#path = path;
    // An answer of which nothing came is taken back, question and all.
    if (JSON.stringify(path) !== JSON.stringify(before)) {
      // An engine that could not be replaced was never asked.
      if (asked.length > 0) expect(asked).toEqual(path.slice(0, -1));
      const [said, right] = [path.at(-1)?.content ?? "", await this.#right(path.slice(0, -1))];
      if (reply && reply.finish_reason !== "cancelled") expect(said, "a fresh engine's answer").toBe(right);
      else expect(right.startsWith(said), `${said} is the beginning of ${right}`).toBe(true);
    }
    if (fatal && (await this.#happened(fault))) this.#waiting.push(fault);
    for (const injected of this.#waiting.splice(0)) this.#count(injected, reply !== undefined);
  }

  /** Loads the page again while a question is answered: what was written remains. */
  async #leave(act: () => Promise<void>): Promise<void> {
    const before = JSON.stringify(this.#path);
    await act();
    await expect.poll(async () => JSON.stringify(await this.#person.path())).not.toBe(before);
    await this.#person.reload();
    const path = await this.#person.shown();
    this.#path = path;
    const said = path.at(-1);
    if (said?.role === "assistant") {
      const right = await this.#right(path.slice(0, -1));
      expect(right.startsWith(said.content), `${said.content} is the beginning of ${right}`).toBe(true);
    }
    this.#count("reload meanwhile", JSON.stringify(path) !== before);
    this.#waiting.length = 0;
  }

  /** Whether the fault that was set has come: an answer can be shorter. */
  async #happened(fault: keyof typeof FAULTS): Promise<boolean> {
    if (fault === "lose the device" && this.#backend === "cpu") return false;
    // A worker that took over knows of none.
    const left = (await this.#page.workers().at(-1)?.evaluate("globalThis.tokensLeft ?? 0")) ?? 0;
    await this.#set({ tokensLeft: 0 });
    return Number(left) <= 0;
  }

  /** Begins a new chat with a greeting, and looks at what the page holds then. */
  async #greet(): Promise<void> {
    await this.#person.startOver();
    const { reply } = await this.#person.answered(() => this.#person.say(GREETING));
    this.#path = await this.#person.shown();
    expect(reply?.text).toBe(await this.#right(this.#path.slice(0, 1)));
    for (const [what, bytes] of [
      ["the page", await pageBytes(this.#page)],
      [`the engine on ${this.#backend}`, reply?.stats.memory_bytes ?? 0],
    ] as const) {
      const first = this.#held.get(what) ?? bytes;
      this.#held.set(what, first);
      console.log(`${what} holds ${bytes} bytes, ${((100 * bytes) / first).toFixed(1)} % of its beginning`);
      expect(bytes, `${what} holds ever more`).toBeLessThanOrEqual(GROWTH * first);
    }
  }

  /** What a fresh engine answers. */
  #right(messages: Message[]): Promise<string> {
    return this.#fresh.evaluate(
      async ([messages, max_tokens]) => {
        await window.mar.reset();
        return (await window.mar.generate(messages, { temperature: 0, max_tokens })).text;
      },
      [messages, LONGEST] as const,
    );
  }

  async #switchTo(backend: "cpu" | "webgpu"): Promise<void> {
    this.#backend = backend;
    await this.#page.getByTestId("settings").click();
    await this.#page.getByLabel("Runs on").selectOption(backend);
    await this.#page.getByRole("button", { name: "Done" }).click();
    await expect(this.#page.getByTestId("backend")).toHaveText(
      backend === "cpu" ? /^Runs on the CPU/ : /^Runs on the GPU/,
    );
    await this.#person.ready();
  }

  /** For `WORKER_SCRIPT`. Where the network was cut, there may be no worker until the next question. */
  async #set(values: Record<string, unknown>): Promise<void> {
    if (this.#page.workers().length > 0) await setInWorker(this.#page, values);
  }

  #count(fault: string, recovered: boolean): void {
    const count = this.#counts.get(fault) ?? { injected: 0, recovered: 0 };
    this.#counts.set(fault, { injected: count.injected + 1, recovered: count.recovered + (recovered ? 1 : 0) });
  }
}
