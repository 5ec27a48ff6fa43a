// A token's costs, for tests.
import type { TokenCost } from "../../pictures/cost";

/** Costs that differ from token to token. */
export function costOf(position: number, text: string): TokenCost {
  const joules = (scale: number) => ({ spiking: scale * position, dense: scale * 2.5, transformer: scale / 3 });
  return {
    position,
    text,
    milliseconds: 0.1 + position,
    neurons: Uint32Array.of(256, 512),
    spikes_positive: Uint32Array.of(position, 2),
    spikes_negative: Uint32Array.of(3, 4),
    active: Uint32Array.of(4_000_000_000, 5),
    energy: {
      arithmetic: joules(1e-9),
      with_data: joules(3e-9),
      terms: [{ label: "spikes × fan-out", class: "ac", count: 1e12 + position, picojoules_each: 0.9 }],
      dense_terms: [{ label: "products", class: "mac", count: 7, picojoules_each: 4.6 }],
      transformer_terms: [],
    },
  };
}
