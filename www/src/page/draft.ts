// What is being typed outlives a reload; and where the tab dies, the next one finds it.
import { newId } from "./conversation";

const KEY = "mar:draft";

/** A changed message that was not sent yet, by the message's id. */
const EDIT = "mar:edit:";

/** This page's copy for others: its lock is held as long as the page lives. */
const copy = `${KEY}:${newId()}`;

/** The text that was there before this page was loaded again. */
export function readDraft(): string {
  return guarded(() => {
    const text = sessionStorage.getItem(KEY) ?? "";
    // The page before has gone: its copy is this page's now.
    const before = sessionStorage.getItem(`${KEY}:copy`);
    if (before !== null) localStorage.removeItem(before);
    sessionStorage.setItem(`${KEY}:copy`, copy);
    keepDraft(text);
    return text;
  }, "");
}

/** Keeps the text, where storage allows it. */
export function keepDraft(text: string): void {
  guarded(() => {
    for (const [storage, key] of [[sessionStorage, KEY] as const, [localStorage, copy] as const]) {
      if (text === "") storage.removeItem(key);
      else storage.setItem(key, text);
    }
  }, undefined);
}

/** The text of a tab that died, which goes over to this one; "" where there is none. */
export async function inheritDraft(): Promise<string> {
  try {
    void navigator.locks.request(copy, () => new Promise(() => {}));
    const { held = [] } = await navigator.locks.query();
    const alive = new Set(held.map(({ name }) => name)).add(copy);
    const dead = Object.keys(localStorage).find((key) => key.startsWith(`${KEY}:`) && !alive.has(key));
    const text = dead === undefined ? null : localStorage.getItem(dead);
    if (dead !== undefined) localStorage.removeItem(dead);
    return text ?? "";
  } catch {
    // No storage, or no locks: nothing is left behind there.
    return "";
  }
}

/** A message's change that was not sent. */
export function readEdit(turn: string): string | undefined {
  return guarded(() => sessionStorage.getItem(EDIT + turn) ?? undefined, undefined);
}

/** Keeps the change of a message; `undefined` forgets it. */
export function keepEdit(turn: string, text: string | undefined): void {
  guarded(() => {
    if (text === undefined) sessionStorage.removeItem(EDIT + turn);
    else sessionStorage.setItem(EDIT + turn, text);
  }, undefined);
}

/** Storage may be denied, or full: then the text is in its field, and nowhere else. */
function guarded<T>(work: () => T, otherwise: T): T {
  try {
    return work();
  } catch {
    return otherwise;
  }
}
