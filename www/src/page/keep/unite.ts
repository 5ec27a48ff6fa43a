// Two pages that have written the same message: no text of either is lost.
import type { Turn } from "../conversation";

/** A turn in the browser's storage, and the page that wrote it. */
export type KeptTurn = Turn & { chat: string; page: string };

/**
 * What takes the place of `stored` when a page writes `mine`. A page may change its own; of two pages' texts the longer one
 * stays if it begins with the other; else both do, as branches.
 */
export function unite(stored: KeptTurn | undefined, mine: KeptTurn): KeptTurn {
  if (!stored || stored.page === mine.page) return mine;
  if (stored.content === mine.content) return stored.unfinished ? mine : stored;
  if (mine.content.startsWith(stored.content)) return mine;
  if (stored.content.startsWith(mine.content)) return stored;
  // The same id every time, however often this page writes it.
  return { ...mine, id: `${mine.id}-${mine.page}` };
}
