// What the tokens of an answer took, as people and their programs read it in an exported file.
import type { Joules, Term } from "../../mar/types";
import type { TokenCost } from "../../pictures/cost";
import { NETWORKS, type Network } from "../../pictures/energy/account";

/** A thing that is counted, and its price. Once for all tokens, which have the counts in the same order. */
export interface Price {
  network: Network;
  class: Term["class"];
  label: string;
  picojoules_each: number;
}

/** The costs of an answer. */
export interface AnswerCosts {
  /** The id of its message. */
  answer: string;
  /** Neurons by layer and site, in the order of layers, and in each of its four sites. */
  neurons: number[];
  prices: Price[];
  tokens: TokenRow[];
}

/** The costs of a token. Times are measured, energies are estimates. */
interface TokenRow {
  position: number;
  text: string;
  milliseconds: number;
  joules_arithmetic_estimate: Joules;
  joules_with_data_estimate: Joules;
  /** By price; null where it has no such thing. */
  counts: (number | null)[];
  // By layer and site.
  spikes_positive: number[];
  spikes_negative: number[];
  active: number[];
}

const TERMS = { spiking: "terms", dense: "dense_terms", transformer: "transformer_terms" } as const;

const CLASSES: readonly Term["class"][] = ["ac", "mac", "mul", "weight_bytes", "state_bytes"];

/** The costs of the answer whose message has this id, for a file. */
export function writeCosts(answer: string, costs: readonly TokenCost[]): AnswerCosts {
  const prices = new Map<string, Price>();
  for (const { energy } of costs) {
    for (const network of NETWORKS) {
      for (const { count: _, ...term } of energy[TERMS[network]])
        prices.set(keyOf(network, term), { network, ...term });
    }
  }
  const tokens = costs.map((cost): TokenRow => {
    const { energy } = cost;
    const counts = new Map(
      NETWORKS.flatMap((network) => energy[TERMS[network]].map((term) => [keyOf(network, term), term.count])),
    );
    return {
      position: cost.position,
      text: cost.text,
      milliseconds: cost.milliseconds,
      joules_arithmetic_estimate: energy.arithmetic,
      joules_with_data_estimate: energy.with_data,
      counts: [...prices.keys()].map((key) => counts.get(key) ?? null),
      spikes_positive: [...cost.spikes_positive],
      spikes_negative: [...cost.spikes_negative],
      active: [...cost.active],
    };
  });
  return { answer, neurons: [...(costs[0]?.neurons ?? [])], prices: [...prices.values()], tokens };
}

/** Reads what `writeCosts` has written; fails on anything else. */
export function readCosts(value: unknown): { answer: string; costs: TokenCost[] } {
  const wrong = (what: string) => new Error(`the energies in this file are damaged: ${what}`);
  if (!isRecord(value) || typeof value.answer !== "string") throw wrong("an answer has no id");
  const { answer, neurons, prices, tokens } = value;
  if (!isCounts(neurons)) throw wrong("the numbers of neurons are none");
  if (!Array.isArray(prices) || !prices.every(isPrice)) throw wrong("a price is none");
  if (!Array.isArray(tokens)) throw wrong("an answer has no tokens");
  const common = Uint32Array.from(neurons);
  const costs = tokens.map((row): TokenCost => {
    if (!isRow(row, neurons.length, prices.length)) throw wrong("a token's numbers are none");
    const termsOf = (wanted: Network): Term[] =>
      prices.flatMap(({ network, ...price }, index) => {
        const count = row.counts[index] ?? null;
        return network === wanted && count !== null ? [{ ...price, count }] : [];
      });
    return {
      position: row.position,
      text: row.text,
      milliseconds: row.milliseconds,
      neurons: common,
      spikes_positive: Uint32Array.from(row.spikes_positive),
      spikes_negative: Uint32Array.from(row.spikes_negative),
      active: Uint32Array.from(row.active),
      energy: {
        arithmetic: row.joules_arithmetic_estimate,
        with_data: row.joules_with_data_estimate,
        terms: termsOf("spiking"),
        dense_terms: termsOf("dense"),
        transformer_terms: termsOf("transformer"),
      },
    };
  });
  return { answer, costs };
}

function keyOf(network: Network, { class: kind, label }: Omit<Term, "count">): string {
  return `${network} ${kind} ${label}`;
}

function isRow(value: unknown, sites: number, prices: number): value is TokenRow {
  if (!isRecord(value)) return false;
  const { position, text, milliseconds, counts } = value;
  if (!Number.isSafeInteger(position) || typeof text !== "string" || !isFigure(milliseconds)) return false;
  if (!isJoules(value.joules_arithmetic_estimate) || !isJoules(value.joules_with_data_estimate)) return false;
  const bySite = [value.spikes_positive, value.spikes_negative, value.active];
  if (!bySite.every((numbers) => isCounts(numbers) && numbers.length === sites)) return false;
  return (
    Array.isArray(counts) && counts.length === prices && counts.every((count) => count === null || isFigure(count))
  );
}

function isPrice(value: unknown): value is Price {
  if (!isRecord(value) || typeof value.label !== "string" || !isFigure(value.picojoules_each)) return false;
  return NETWORKS.some((name) => name === value.network) && CLASSES.some((name) => name === value.class);
}

function isJoules(value: unknown): value is Joules {
  return isRecord(value) && NETWORKS.every((network) => isFigure(value[network]));
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);
}

function isFigure(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
