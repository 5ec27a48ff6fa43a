// What a page holds on to, after its garbage has been collected.
import type { Page } from "@playwright/test";

/** What is read of a heap snapshot: of each object some numbers one after the other, what they mean, and names of kinds. */
interface Snapshot {
  snapshot: { meta: { node_fields: string[]; node_types: [string[], ...unknown[]] } };
  nodes: number[];
}

/**
 * Bytes of all that a page's scripts and its document hold, without its workers'. Compiled code is not in it: the browser
 * makes that when a function has run often, and throws it away when it likes.
 */
export async function pageBytes(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  try {
    // What is finalised in one collection is freed by the next.
    for (let times = 0; times < 3; times++) await session.send("HeapProfiler.collectGarbage");
    const parts: string[] = [];
    session.on("HeapProfiler.addHeapSnapshotChunk", ({ chunk }) => parts.push(chunk));
    await session.send("HeapProfiler.takeHeapSnapshot", { reportProgress: false });
    return heldIn(JSON.parse(parts.join("")));
  } finally {
    await session.detach();
  }
}

function heldIn({ snapshot, nodes }: Snapshot): number {
  const { node_fields: fields, node_types: types } = snapshot.meta;
  const [kind, size] = [fields.indexOf("type"), fields.indexOf("self_size")];
  const code = types[0].indexOf("code");
  if ([kind, size, code].includes(-1)) throw new Error("the browser's heap snapshots have changed");
  let bytes = 0;
  for (let at = 0; at < nodes.length; at += fields.length)
    if (nodes[at + kind] !== code) bytes += nodes[at + size] ?? 0;
  return bytes;
}
