// What happens to files that nobody guards.
import type { Page } from "@playwright/test";

/** Changes the model's file behind the page's back. */
export function spoil(page: Page, what: "byte" | "truncate" | "remove"): Promise<void> {
  return page.evaluate(async (what) => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("mar-models");
    for await (const name of (folder as unknown as { keys(): AsyncIterable<string> }).keys()) {
      if (what === "remove") {
        await folder.removeEntry(name);
        continue;
      }
      const handle = await folder.getFileHandle(name);
      const file = await handle.getFile();
      const writable = await handle.createWritable({ keepExistingData: true });
      // The last chunk has 722,168 bytes: these are in the one before.
      if (what === "truncate") await writable.truncate(file.size - 100);
      else await writable.write({ type: "write", position: file.size - 900_000, data: new Uint8Array([1, 2, 3]) });
      await writable.close();
    }
  }, what);
}
