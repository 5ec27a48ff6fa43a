// What a model's metrics.json says, as far as the page shows it. Of a model from elsewhere it may say anything.

/** Absent is what it does not say, or not in a form that can be shown. */
export interface Metrics {
  /** Of the weights, an SPDX expression. */
  licence?: string;
  /** The name of the network that it was refined from. */
  teacher?: string;
  /** What it can do, in a sentence or two. */
  description?: string;
  parameters?: number;
  /** Spikes per neuron and micro-step. */
  firingRate?: number;
  /** Share of the neurons that fire at all at a token. */
  active?: number;
  /** Picojoules a token, arithmetic alone: an estimate. */
  energy?: number;
  /** The same of this network without spikes. */
  denseEnergy?: number;
  /** Its loss divided by its teacher's. */
  lossRatio?: number;
  /** KL divergence from its teacher, nats a token. */
  teacherKl?: number;
  /** Share of the tokens at which its first choice is its teacher's. */
  agreement?: number;
  /** (score - chance) / (teacher's score - chance), over multiple-choice tasks. */
  leadKept?: number;
}

/** The longest text that is shown. */
const MOST_CHARACTERS = 300;

/** What `json`, the content of a metrics.json or the part of it in the list of models, says. */
export function readMetrics(json: unknown): Metrics {
  const [own, teachers] = [number(json, "spiking_val_loss"), number(json, "dense_val_loss")];
  const said: { [Key in keyof Metrics]: Metrics[Key] | undefined } = {
    licence: text(json, "licence"),
    teacher: text(json, "teacher"),
    description: text(json, "description"),
    parameters: number(json, "parameters"),
    firingRate: number(json, "firing_rate", "mean"),
    active: number(json, "active", "mean"),
    energy: number(json, "energy_pj_per_token", "spiking"),
    denseEnergy: number(json, "energy_pj_per_token", "dense"),
    lossRatio: own !== undefined && teachers ? own / teachers : undefined,
    teacherKl: number(json, "teacher_kl"),
    agreement: number(json, "teacher_top1_agreement"),
    leadKept: number(json, "retention_above_chance"),
  };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}

/** The value below these keys. */
function at(json: unknown, keys: readonly string[]): unknown {
  let value = json;
  for (const key of keys) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

function text(json: unknown, ...keys: string[]): string | undefined {
  const value = at(json, keys);
  if (typeof value !== "string" || value.trim() === "") return undefined;
  return value.length > MOST_CHARACTERS ? `${value.slice(0, MOST_CHARACTERS)}…` : value;
}

/** A number that a person can read: below 10^15. */
function number(json: unknown, ...keys: string[]): number | undefined {
  const value = at(json, keys);
  return typeof value === "number" && Math.abs(value) < 1e15 ? value : undefined;
}
