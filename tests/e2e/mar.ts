// The package in an empty page.
import type { Page } from "@playwright/test";
import type { Backend, Mar, Message, Reply, TokenEvent, Watch } from "../../www/src/mar";

declare global {
  interface Window {
    mar: Mar;
    Mar: typeof Mar;
    troubles: string[];
  }
}

export const BACKENDS = ["cpu", "webgpu"] as const satisfies Backend[];

export const GREETING: Message = { role: "user", content: "Hello! How are you today?" };
export const STORY: Message = { role: "user", content: "Tell me a story about a dog. " };
export const FOLLOW_UP: Message = { role: "user", content: "And what do you like to eat?" };

/** Loads mar.js and a model into an empty page, as `window.mar`. */
export async function openMar(page: Page, backend: Backend): Promise<void> {
  await page.goto("/bench.html");
  await page.evaluate(async (backend) => {
    const script = "/mar.js";
    window.Mar = (await import(script)).Mar;
    window.mar = await window.Mar.load("models/mar-smalltalk/", { backend });
  }, backend);
}

/** Writes down what `window.mar` tells of trouble from now on. */
export async function listenForTrouble(page: Page): Promise<void> {
  await page.evaluate(() => {
    window.troubles = [];
    window.mar.on("trouble", (trouble) => window.troubles.push(trouble));
  });
}

/** What it has told. */
export function troublesOf(page: Page): Promise<string[]> {
  return page.evaluate(() => window.troubles);
}

type Plain<T> = { [K in keyof T]: T[K] extends Uint32Array | Float64Array | Int8Array ? number[] : T[K] };

/** A greedy reply, and all that was told of it, as plain arrays. */
export interface WatchedReply {
  reply: Reply;
  events: Plain<TokenEvent>[];
  steps: number;
  neurons: number;
  /** By token, [neurons · steps]. */
  trains: number[][];
  membranes: { threshold: number; h: number[]; spikes: number[] }[];
}

/** Replies to `ask` while `watch` is watched. */
export function watchedReply(page: Page, ask: Message, watch: Watch | null): Promise<WatchedReply> {
  return page.evaluate(
    async ([ask, watch]) => {
      const { mar } = window;
      const told: WatchedReply = { reply: {} as Reply, events: [], steps: 0, neurons: 0, trains: [], membranes: [] };
      const plain = (value: object): object =>
        Object.fromEntries(
          Object.entries(value).map(([k, v]) => [k, ArrayBuffer.isView(v) ? [...(v as Int8Array)] : v]),
        );
      const ends = [
        mar.on("token", (event) => told.events.push(plain(event) as Plain<TokenEvent>)),
        mar.on("spikes", ({ steps, neurons, trains }) => {
          told.steps = steps;
          told.neurons = neurons;
          told.trains.push([...trains]);
        }),
        mar.on("membrane", ({ threshold, h, spikes }) =>
          told.membranes.push({ threshold, h: [...h], spikes: [...spikes] }),
        ),
      ];
      await mar.watch(watch);
      told.reply = await mar.generate([ask], { temperature: 0, max_tokens: 24 });
      for (const end of ends) end();
      return told;
    },
    [ask, watch] as const,
  );
}
