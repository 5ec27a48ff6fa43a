// What the page's address asks for.
import type { Backend } from "../mar";

export interface Query {
  backend: Backend;
  /** A model's folder. */
  model: string | undefined;
}

const BACKENDS: readonly Backend[] = ["auto", "cpu", "webgpu"];

/** Reads `?backend=` and `?model=`. */
export function readQuery(search: string): Query {
  const query = new URLSearchParams(search);
  const backend = BACKENDS.find((name) => name === query.get("backend")) ?? "auto";
  return { backend, model: query.get("model") ?? undefined };
}
