// What a picture needs to know of a token's cost.
import type { TokenEvent } from "../mar/types";

/** A token's place, time, spikes and energy. */
export type TokenCost = Pick<
  TokenEvent,
  "position" | "text" | "milliseconds" | "spikes_positive" | "spikes_negative" | "active" | "neurons" | "energy"
>;
