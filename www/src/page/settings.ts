// What the person has chosen, kept in this browser.
import type { Backend, ChatOptions } from "../mar/types";
import { BACKENDS } from "./query";

/** The system's colours, or always these. */
export type ThemeChoice = "system" | "light" | "dark";

/** Everything in the settings. */
export interface Settings {
  system: string;
  backend: Backend;
  theme: ThemeChoice;
  /** What is not there is the model's own. */
  sampling: Partial<Record<SamplingName, number>>;
}

/** A setting of the sampler. */
export type SamplingName = Exclude<keyof ChatOptions, "stop">;

/** A number that may be set: what it is called, its bounds, and what it does. */
export interface SamplingField {
  name: SamplingName;
  label: string;
  min: number;
  max: number;
  step: number;
  help: string;
}

/** The sampler's settings, in the order in which they act. */
export const SAMPLING: readonly SamplingField[] = [
  { name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.05, help: "0 takes the likeliest token." },
  { name: "top_k", label: "Top-k", min: 0, max: 1000, step: 1, help: "Only the k likeliest; 0 is all." },
  { name: "top_p", label: "Top-p", min: 0.01, max: 1, step: 0.01, help: "The likeliest that sum to p." },
  { name: "min_p", label: "Min-p", min: 0, max: 1, step: 0.01, help: "At least p times the likeliest's." },
  { name: "repetition_penalty", label: "Repetition penalty", min: 1, max: 2, step: 0.05, help: "1 is none." },
  { name: "max_tokens", label: "Longest answer", min: 1, max: 4096, step: 1, help: "In tokens." },
  {
    name: "seed",
    label: "Seed",
    min: 0,
    max: 4294967295,
    step: 1,
    help: "The same seed, the same answer. Empty is chance.",
  },
];

const KEY = "mar:settings";
const THEMES: readonly ThemeChoice[] = ["system", "light", "dark"];

/** What was chosen before; what is not there or makes no sense is as on a first visit. */
export function readSettings(): Settings {
  const settings: Settings = { system: "", backend: "auto", theme: "system", sampling: {} };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Record<string, unknown>;
    if (typeof kept.system === "string") settings.system = kept.system;
    settings.backend = BACKENDS.find((name) => name === kept.backend) ?? settings.backend;
    settings.theme = THEMES.find((name) => name === kept.theme) ?? settings.theme;
    const sampling = (kept.sampling ?? {}) as Record<string, unknown>;
    for (const { name, min, max } of SAMPLING) {
      const value = sampling[name];
      if (typeof value === "number" && value >= min && value <= max) settings.sampling[name] = value;
    }
  } catch {
    // Storage is denied, or holds something else: a first visit.
  }
  return settings;
}

/** Keeps them for the next visit, where storage allows it. */
export function keepSettings(settings: Settings): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // They hold until the page is closed.
  }
}

/** The options of a request. Without a seed of the person's, every answer draws its own. */
export function chatOptions({ sampling }: Settings): ChatOptions {
  const chance = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return { seed: chance, ...sampling };
}
