// Energy in words and tables: the pure part of the panel.
import type { Energy, Joules, Term } from "../../mar/types";
import { csv } from "../common/csv";
import { formatNumber, formatPercent } from "../common/units";
import type { TokenCost } from "../cost";

/** Which price list. */
export type Mode = "arithmetic" | "with_data";

/** The networks that are compared. */
export const NETWORKS = ["spiking", "dense", "transformer"] as const;
/** One of them. */
export type Network = (typeof NETWORKS)[number];

/** The classes that count in the arithmetic. */
const ARITHMETIC: readonly Term["class"][] = ["ac", "mac", "mul"];

/** Differences below this share are not worth a word: the prices are not known so well. */
const SAME = 0.02;

/** A network's terms under a price list. */
export function termsOf(energy: Energy, network: Network, mode: Mode): Term[] {
  const terms = { spiking: energy.terms, dense: energy.dense_terms, transformer: energy.transformer_terms }[network];
  return mode === "with_data" ? terms : terms.filter((term) => ARITHMETIC.includes(term.class));
}

/** Joules of a term. */
export function joulesOf(term: Term): number {
  return term.count * term.picojoules_each * 1e-12;
}

/** The sum over tokens; terms with the same label are one. */
export function sum(energies: readonly Energy[]): Energy {
  const joules = (mode: Mode): Joules => {
    const total = { spiking: 0, dense: 0, transformer: 0 };
    for (const energy of energies) for (const network of NETWORKS) total[network] += energy[mode][network];
    return total;
  };
  const terms = (of: (energy: Energy) => Term[]): Term[] => {
    const merged = new Map<string, Term>();
    for (const energy of energies) {
      for (const term of of(energy)) {
        const key = `${term.class} ${term.label}`;
        const held = merged.get(key);
        if (held) held.count += term.count;
        else merged.set(key, { ...term });
      }
    }
    return [...merged.values()];
  };
  return {
    arithmetic: joules("arithmetic"),
    with_data: joules("with_data"),
    terms: terms((energy) => energy.terms),
    dense_terms: terms((energy) => energy.dense_terms),
    transformer_terms: terms((energy) => energy.transformer_terms),
  };
}

/** Whether spiking wins or loses. */
export interface Verdict {
  outcome: "wins" | "loses" | "even";
  /** A plain sentence. */
  text: string;
  /** What else there is to say. */
  more: string;
}

/** Spiking against its dense twin; then against the transformer, and what most of its energy goes into. */
export function verdict(energy: Energy, mode: Mode): Verdict {
  const { spiking, dense, transformer } = energy[mode];
  const ratio = spiking / dense;
  if (!Number.isFinite(ratio)) return { outcome: "even", text: "", more: "" };
  const outcome = ratio > 1 + SAME ? "loses" : ratio < 1 - SAME ? "wins" : "even";
  const sentences = {
    loses: `Spiking loses here: it takes ${formatNumber(ratio)} times the energy of its dense twin.`,
    wins: `Spiking wins here: it takes ${formatPercent(ratio)} of the energy of its dense twin.`,
    even: "Spiking and its dense twin take the same here, within 2 %.",
  };
  const other = spiking / transformer;
  const against =
    other > 1 + SAME
      ? ` The transformer would take less, ${formatPercent(1 / other)} of it.`
      : other < 1 - SAME
        ? ` The transformer would take ${formatNumber(1 / other)} times as much.`
        : " The transformer would take the same.";
  return { outcome, text: sentences[outcome], more: against + largest(energy, mode) };
}

function largest(energy: Energy, mode: Mode): string {
  const terms = termsOf(energy, "spiking", mode);
  const most = terms.reduce<Term | undefined>((a, b) => (a && joulesOf(a) >= joulesOf(b) ? a : b), undefined);
  if (!most) return "";
  return ` Largest part: ${most.label}, ${formatPercent(joulesOf(most) / energy[mode].spiking)}.`;
}

/** A row for each token. */
export function energyCsv(events: readonly TokenCost[]): string {
  const header = ["position", "token", "milliseconds_measured", "spikes_positive", "spikes_negative"];
  for (const mode of ["arithmetic", "with_data"])
    for (const network of NETWORKS) header.push(`joules_${mode}_${network}_estimate`);
  const total = (counts: Uint32Array) => counts.reduce((a, b) => a + b, 0);
  return csv(
    header,
    events.map(({ position, text, milliseconds, spikes_positive, spikes_negative, energy }) => [
      position,
      text,
      milliseconds,
      total(spikes_positive),
      total(spikes_negative),
      ...NETWORKS.map((network) => energy.arithmetic[network]),
      ...NETWORKS.map((network) => energy.with_data[network]),
    ]),
  );
}
