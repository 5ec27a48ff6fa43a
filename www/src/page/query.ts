// What the page's address asks for.
import type { Backend } from "../mar/types";

export interface Query {
  /** `undefined` where the address leaves the choice to the settings. */
  backend: Backend | undefined;
  /** A model's folder. */
  model: string | undefined;
}

/** What `?backend=` may name. */
export const BACKENDS: readonly Backend[] = ["auto", "cpu", "webgpu"];

/** Reads `?backend=` and `?model=`. */
export function readQuery(search: string): Query {
  const query = new URLSearchParams(search);
  const backend = BACKENDS.find((name) => name === query.get("backend"));
  return { backend, model: query.get("model") ?? undefined };
}
