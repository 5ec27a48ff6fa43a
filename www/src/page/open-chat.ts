// Which conversation is open in this tab, for its next reload.
import type { Conversation } from "./conversation";
import type { Store } from "./store";

const KEY = "mar:open";

/** The conversation that was open before the page was loaded again. */
export async function openedBefore(store: Store): Promise<Conversation | undefined> {
  try {
    const id = sessionStorage.getItem(KEY);
    return id === null ? undefined : await store.get(id);
  } catch {
    return undefined;
  }
}

/** Remembers it, where storage allows it. */
export function rememberOpen({ id }: Conversation): void {
  try {
    sessionStorage.setItem(KEY, id);
  } catch {
    // A reload begins anew.
  }
}
