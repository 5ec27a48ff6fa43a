// Which conversation is open in this tab, for its next reload; and after a tab that died, for the next tab.
import { type Conversation, unfinishedEnd } from "./conversation";
import { isWritten } from "./keep/pen";
import type { Store } from "./keep/store";

const KEY = "mar:open";

/** The conversation that was open before the page was loaded again, or one whose answer was interrupted with its tab. */
export async function openedBefore(store: Store): Promise<Conversation | undefined> {
  try {
    const id = sessionStorage.getItem(KEY);
    if (id !== null) return await store.get(id);
    const [newest] = await store.list();
    const chat = newest && (await store.get(newest.id));
    return chat && unfinishedEnd(chat) && !(await isWritten(chat.id)) ? chat : undefined;
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
