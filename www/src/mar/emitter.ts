// Listeners by the name of what they listen to.

/** Tells of events of the types in `E`. A listener that throws does not keep the others from hearing. */
export class Emitter<E> {
  readonly #listeners = new Map<keyof E, Set<(event: never) => void>>();

  /** Returns what ends it. */
  on<N extends keyof E>(name: N, listener: (event: E[N]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  emit<N extends keyof E>(name: N, event: E[N]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(event as never);
      } catch (error) {
        reportError(error);
      }
    }
  }
}
