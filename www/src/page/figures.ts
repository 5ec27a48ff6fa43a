// What is shown of every model, in words for people who have not read the paper.
import { formatChange, formatPercent } from "../pictures/common/units";
import { formatBytes, formatEnergy, formatNumber } from "./format";
import type { Metrics } from "./metrics";

/** A model that can be chosen. */
export interface Described {
  name: string;
  /** Where it is: an address, which may be relative to the page. */
  folder: string;
  /** Whether it is loaded. */
  here: boolean;
  /** Whether this server offers it, and so knows what its metrics.json says. */
  own: boolean;
  /** Of its download. */
  bytes?: number;
  metrics: Metrics;
}

/** A line of the comparison. */
export interface Figure {
  name: string;
  /** What it means, in a sentence. */
  meaning: string;
  /** `undefined` where the model does not say. */
  of: (model: Described) => string | undefined;
}

/** A figure of metrics.json. */
function figure<Key extends keyof Metrics>(
  key: Key,
  name: string,
  meaning: string,
  format: (value: NonNullable<Metrics[Key]>) => string,
): Figure {
  const of = ({ metrics }: Described): string | undefined => {
    const value = metrics[key];
    return value === undefined ? undefined : format(value as NonNullable<Metrics[Key]>);
  };
  return { name, meaning, of };
}

/** All of them: what it is, what it costs, how good it is. */
export const FIGURES: readonly Figure[] = [
  figure("licence", "Licence", "The terms on which you may use it and pass it on.", String),
  figure("teacher", "Made from", "The network that it was refined from: its teacher.", String),
  {
    name: "Download",
    meaning: "Fetched once, then kept in this browser.",
    of: ({ bytes }) => (bytes === undefined ? undefined : formatBytes(bytes)),
  },
  figure("parameters", "Parameters", "The numbers that it learnt. With more of them each word takes longer.", millions),
  figure(
    "active",
    "Neurons that fire",
    "At one token, a word or a piece of one. The others stay silent and cost nothing.",
    formatPercent,
  ),
  figure("firingRate", "Firing rate", "How often a neuron fires, of the times that it could.", formatPercent),
  figure(
    "energy",
    "Energy a token, estimate",
    "Counted operations times prices of a 45 nm chip, arithmetic alone. No browser can measure joules.",
    formatEnergy,
  ),
  figure(
    "denseEnergy",
    "The same without spikes, estimate",
    "What it would take if its neurons passed numbers on, as in other networks.",
    formatEnergy,
  ),
  figure(
    "lossRatio",
    "Loss beside its teacher’s",
    "How much worse it foresees the next token of a text that neither has seen.",
    (ratio) => formatChange(ratio, 1),
  ),
  figure(
    "agreement",
    "Same first choice",
    "How often the token that it finds likeliest is its teacher’s first choice too.",
    formatPercent,
  ),
  figure(
    "teacherKl",
    "Distance from its teacher",
    "How far its odds for the next token are from its teacher’s (KL divergence). 0 is the same.",
    (nats) => `${formatNumber(nats)} nats`,
  ),
  figure(
    "leadKept",
    "Lead over guessing kept",
    "Of what its teacher scores above chance at multiple choice, how much it keeps.",
    formatPercent,
  ),
];

/** A count of parameters: "148 million". */
export function millions(count: number): string {
  return `${formatNumber(count / 1e6)} million`;
}
