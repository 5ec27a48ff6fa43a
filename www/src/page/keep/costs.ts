// What the tokens of an answer took, as bytes: small enough to be kept with every conversation.
import type { Energy, Joules, Term } from "../../mar/types";
import type { TokenCost } from "../../pictures/cost";
import { NETWORKS } from "../../pictures/energy/account";

/** A header in JSON, then numbers of 64 bits by token, then counts of 32 bits by token and site. */
interface Header {
  version: 1;
  texts: string[];
  neurons: number[];
  terms: { of: TermsOf; label: string; class: Term["class"]; price: number }[];
}

type TermsOf = "terms" | "dense_terms" | "transformer_terms";

const TERMS: readonly TermsOf[] = ["terms", "dense_terms", "transformer_terms"];
const MODES = ["arithmetic", "with_data"] as const;
const COUNTS = ["spikes_positive", "spikes_negative", "active"] as const;

/** Position, milliseconds, and the joules of every network at both prices. */
const FIGURES = 2 + MODES.length * NETWORKS.length;

/** The bytes of an answer's costs. */
export function packCosts(costs: readonly TokenCost[]): Uint8Array {
  const terms = new Map<string, Header["terms"][0]>();
  for (const { energy } of costs) {
    for (const of of TERMS) {
      for (const term of energy[of]) {
        terms.set(keyOf(of, term), { of, label: term.label, class: term.class, price: term.picojoules_each });
      }
    }
  }
  const neurons = [...(costs[0]?.neurons ?? [])];
  const header: Header = { version: 1, texts: costs.map(({ text }) => text), neurons, terms: [...terms.values()] };
  const head = new TextEncoder().encode(JSON.stringify(header));
  const numbers = Float64Array.from(
    costs.flatMap(({ position, milliseconds, energy }) => {
      const counts = new Map(TERMS.flatMap((of) => energy[of].map((term) => [keyOf(of, term), term.count])));
      const joules = MODES.flatMap((mode) => NETWORKS.map((network) => energy[mode][network]));
      // A term that this token lacks is no number.
      return [position, milliseconds, ...joules, ...[...terms.keys()].map((key) => counts.get(key) ?? Number.NaN)];
    }),
  );
  const counts = Uint32Array.from(costs.flatMap((cost) => COUNTS.flatMap((name) => [...cost[name]])));
  const bytes = new Uint8Array(4 + head.length + numbers.byteLength + counts.byteLength);
  new DataView(bytes.buffer).setUint32(0, head.length, true);
  bytes.set(head, 4);
  bytes.set(new Uint8Array(numbers.buffer), 4 + head.length);
  bytes.set(new Uint8Array(counts.buffer), 4 + head.length + numbers.byteLength);
  return bytes;
}

/** Reads bytes of `packCosts`. */
export function unpackCosts(bytes: Uint8Array): TokenCost[] {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const { texts, neurons, terms } = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size))) as Header;
  const width = FIGURES + terms.length;
  // Copies, because views must begin at whole numbers.
  const split = 4 + size + 8 * width * texts.length;
  const numbers = new Float64Array(bytes.slice(4 + size, split).buffer);
  const counts = new Uint32Array(bytes.slice(split).buffer);
  const sites = neurons.length;
  const common = Uint32Array.from(neurons);
  return texts.map((text, token) => {
    const row = numbers.subarray(token * width, (token + 1) * width);
    const count = (place: number) =>
      counts.slice((token * COUNTS.length + place) * sites, (token * COUNTS.length + place + 1) * sites);
    return {
      position: row[0] ?? 0,
      text,
      milliseconds: row[1] ?? 0,
      neurons: common,
      spikes_positive: count(0),
      spikes_negative: count(1),
      active: count(2),
      energy: energyOf(row, terms),
    };
  });
}

function energyOf(row: Float64Array, terms: Header["terms"]): Energy {
  const joules = (mode: number): Joules => {
    const [spiking = 0, dense = 0, transformer = 0] = row.subarray(2 + mode * NETWORKS.length);
    return { spiking, dense, transformer };
  };
  const energy: Energy = {
    arithmetic: joules(0),
    with_data: joules(1),
    terms: [],
    dense_terms: [],
    transformer_terms: [],
  };
  terms.forEach(({ of, label, class: kind, price }, index) => {
    const count = row[FIGURES + index] ?? Number.NaN;
    if (!Number.isNaN(count)) energy[of].push({ label, class: kind, count, picojoules_each: price });
  });
  return energy;
}

function keyOf(of: TermsOf, { class: kind, label }: Term): string {
  return `${of} ${kind} ${label}`;
}
