// What a page holds on to, after its garbage has been collected.
import type { Page } from "@playwright/test";

/** Bytes of the page's JavaScript and of what belongs to it, without its workers'. */
export async function pageBytes(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  try {
    // What is finalised in one collection is freed by the next.
    for (let times = 0; times < 3; times++) await session.send("HeapProfiler.collectGarbage");
    const { usedSize, ...rest } = await session.send("Runtime.getHeapUsage");
    const { backingStorageSize = 0 } = rest as { backingStorageSize?: number };
    return usedSize + backingStorageSize;
  } finally {
    await session.detach();
  }
}
