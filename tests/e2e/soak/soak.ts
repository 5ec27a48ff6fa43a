// What is done turn by turn, and what must hold after each.
import { type Browser, type CDPSession, expect, type Page } from "@playwright/test";
import type { Message } from "../../../www/src/mar";
import { setInWorker, withFaults } from "../faults";
import { FaultyServer } from "../faulty";
import { openMar } from "../mar";
import { greedy, watch } from "../page";
import { spoil } from "../spoil";
import { Chance } from "./chance";
import { pageBytes } from "./memory";
import { Person, WORKER_SCRIPT } from "./person";

/** Tokens of the longest answer. */
const LONGEST = 20;

/** Messages after which a new chat is begun. */
const MOST_MESSAGES = 10;

/** What may be held, as a multiple of what was held at first. */
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
  "corrupt a chunk": 1,
};

/** How often something happens to an answer on its way. */
const FAULTS = {
  nothing: 6,
  stop: 2,
  "lose the device": 3,
  "kill the worker": 2,
  "cut the network": 1,
  "fill the database": 1,
  reload: 1,
};

const WEIGHTS = "mar-smalltalk/model.safetensors";

/**
 * What is done to the stored model; where what is fetched again begins: nowhere, where it is the whole file; and whether
 * mending takes room: what is written over something else of the same file takes none.
 */
const DAMAGES = {
  byte: { from: 1 << 20, room: false },
  truncate: { from: 2 << 20, room: true },
  remove: { from: undefined, room: true },
} as const;

/** Bytes that a full browser has for the models. */
const NO_ROOM = 1;

/** What the page says then. */
const UNKEPT = "not kept for the next visit: the storage that this browser grants is full";

/** What a fault does to the engine's worker (`WORKER_SCRIPT`). Without a network, another worker must come from what is kept. */
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

/** What the console may say of a network that was cut. */
const OFFLINE = /net::ERR_/;

/** One run. */
export class Soak {
  readonly #page: Page;
  readonly #person: Person;
  readonly #chance: Chance;
  readonly #server: FaultyServer;
  /** What is told the browser here ends with this. */
  readonly #devtools: CDPSession;
  /** Another browser's page with an engine that nothing happens to. */
  readonly #fresh: Page;
  readonly #wrong: string[];
  readonly #counts = new Map<string, Count>();
  /** `undefined` until it is chosen. */
  #backend: "cpu" | "webgpu" | undefined;
  #path: Message[] = [];
  /** Faults whose end the next answer shows. */
  readonly #waiting: string[] = [];
  /** The most bytes that were held before the first turn. */
  readonly #held = new Map<string, number>();
  #begun = false;

  private constructor(page: Page, server: FaultyServer, devtools: CDPSession, fresh: Page, seed: number) {
    this.#page = page;
    this.#server = server;
    this.#devtools = devtools;
    this.#person = new Person(page);
    this.#fresh = fresh;
    this.#wrong = watch(page);
    this.#chance = new Chance(seed);
  }

  /**
   * Opens the page, has a first question answered on the CPU, on a GPU, on another GPU when that was lost, and on the CPU after
   * both, and chats for once as long as a chat gets: a worker's memory never shrinks, so it must have had what it may have to hold.
   */
  static async begin(page: Page, browser: Browser, seed: number): Promise<Soak> {
    const fresh = await (await browser.newContext()).newPage();
    await openMar(fresh, "cpu");
    const server = await FaultyServer.start();
    // The service worker keeps what it is sent.
    server.change("worker-", (own) => withFaults(own, WORKER_SCRIPT));
    const soak = new Soak(page, server, await page.context().newCDPSession(page), fresh, seed);
    await soak.#person.open(server.url);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
    await greedy(page, LONGEST);
    for (const backend of ["cpu", "webgpu", "webgpu", "cpu"] as const) {
      if (backend === soak.#backend) await page.workers().at(-1)?.evaluate(`${FATAL["lose the device"]}()`);
      else await soak.#switchTo(backend);
      await soak.#greet();
    }
    while (soak.#path.length < MOST_MESSAGES) {
      await soak.#answer(() => soak.#person.say(QUESTIONS[0]), "nothing", 0);
    }
    await soak.#greet();
    soak.#begun = true;
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
    this.#server.close();
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
    } else if (errand === "corrupt a chunk") {
      await this.#corrupt();
    } else if (errand !== "nothing") {
      await this.#set({ tokensLeft: 0 });
      await this.#page.workers().at(-1)?.evaluate(`${FATAL[errand]}()`);
      if (errand !== "lose the device" || this.#backend === "webgpu") this.#waiting.push(`${errand} while idle`);
    }
  }

  /** Damages the stored model, and once more what is fetched in its place, for which there may be no room. */
  async #corrupt(): Promise<void> {
    const how = this.#chance.of(Object.keys(DAMAGES) as (keyof typeof DAMAGES)[]);
    const full = this.#chance.number() < 0.5;
    const { from, room } = DAMAGES[how];
    const bad = from ?? 1 << 20;
    await spoil(this.#page, how);
    this.#server.fault = ({ file, time }) => (file === WEIGHTS && time === 0 ? { damage: bad + 5 } : {});
    if (full) await this.#room(NO_ROOM);
    expect(await this.#fetchedAgain(), "what was damaged, twice").toEqual([from, bad]);
    this.#waiting.push(`corrupt a chunk in the storage (${how})`, "corrupt a chunk on its way");
    this.#server.fault = () => ({});
    if (full && room) await this.#person.told(UNKEPT);
    await this.#room(undefined);
    expect(await this.#fetchedAgain(), "what there was no room for").toEqual(full && room ? [from] : []);
    if (full && room) this.#waiting.push("fill the quota of the models");
  }

  /** Loads the page again, and says where the requests for weights begin. */
  async #fetchedAgain(): Promise<(number | undefined)[]> {
    this.#server.forget();
    await this.#person.reload();
    expect(await this.#person.shown()).toEqual(this.#path);
    return this.#server.ranges(WEIGHTS);
  }

  /** Has a question answered, and compares the answer with a fresh engine's. */
  async #answer(act: () => Promise<void>, fault: keyof typeof FAULTS, after: number): Promise<void> {
    const page = this.#page;
    const [cut, full] = [fault === "cut the network", fault === "fill the database"];
    const fatal = fault in FATAL ? FATAL[fault as keyof typeof FATAL] : undefined;
    if (fatal) await this.#set({ fault: fatal, tokensLeft: after });
    if (full) await this.#person.fill(true);
    const { asked, reply } = await this.#person.answered(act, async () => {
      if (cut) await this.#cut(true);
      if (fault !== "stop") return;
      await expect(page.getByTestId("message-assistant").last()).not.toBeEmpty();
      await page.keyboard.press("Escape");
    });
    if (cut) {
      await this.#cut(false);
      this.#wrong.splice(0, Infinity, ...this.#wrong.filter((words) => !OFFLINE.test(words)));
    }
    if (full) {
      await this.#person.told("This conversation could not be kept");
      await this.#person.fill(false);
      this.#waiting.push(fault);
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
    const before = await this.#person.leaf();
    await act();
    await expect.poll(() => this.#person.leaf()).not.toBe(before);
    await this.#person.reload();
    const path = await this.#person.shown();
    this.#path = path;
    const said = path.at(-1);
    if (said?.role === "assistant") {
      const right = await this.#right(path.slice(0, -1));
      expect(right.startsWith(said.content), `${said.content} is the beginning of ${right}`).toBe(true);
    }
    this.#count("reload meanwhile", (await this.#person.leaf()) !== before);
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
    const held = { "the page": await pageBytes(this.#page), "the engine": reply?.stats.memory_bytes ?? 0 };
    for (const [what, bytes] of Object.entries(held)) {
      const first = this.#held.get(what) ?? 0;
      if (!this.#begun) {
        console.log(`${what} holds ${bytes} bytes`);
        this.#held.set(what, Math.max(first, bytes));
        continue;
      }
      console.log(`${what} holds ${bytes} bytes, ${percent(bytes / first)} of what it held at first`);
      expect(bytes, what).toBeGreaterThan(0);
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

  async #cut(away: boolean): Promise<void> {
    this.#server.down = away;
    await this.#page.context().setOffline(away);
  }

  /** Says how many bytes the browser's storage has; `undefined`: as many as there are. */
  async #room(bytes: number | undefined): Promise<void> {
    const { origin } = new URL(this.#server.url);
    await this.#devtools.send("Storage.overrideQuotaForOrigin", {
      origin,
      ...(bytes !== undefined && { quotaSize: bytes }),
    });
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

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
