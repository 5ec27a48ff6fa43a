// Models in the origin's private files, one file a model. Whoever writes has the file alone; everybody may read.
import type { Bytes, Chunk } from "./plan";
import type { OpenShelf, Shelf, Shelves } from "./shelf";

/** The folder of all models. */
const FOLDER = "mar-models";

/** A file that a worker has alone. TypeScript knows it in workers only. */
interface SyncFile {
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  getSize(): number;
  flush(): void;
  close(): void;
}

type Handle = FileSystemFileHandle & { createSyncAccessHandle?: () => Promise<SyncFile> };

/** The folder; throws where the browser has none. Pages may read in it, workers write too. */
export async function openFiles(): Promise<Shelves> {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle(FOLDER, { create: true });
  const look = async (id: string): Promise<Shelf> => readable(await folder.getFileHandle(id));
  return {
    keeper: "opfs",
    look,
    async open(id) {
      const handle: Handle = await folder.getFileHandle(id, { create: true });
      try {
        if (!handle.createSyncAccessHandle) throw new DOMException("", "NotSupportedError");
        return writable(await handle.createSyncAccessHandle());
      } catch (error) {
        // Another tab has it.
        if (nameOf(error) !== "NoModificationAllowedError") throw error;
        return await readable(handle);
      }
    },
    async remove(id) {
      await folder.removeEntry(id).catch((error: unknown) => {
        if (nameOf(error) === "NoModificationAllowedError")
          throw new Error("it is being loaded, here or in another tab; wait until it is there");
        if (nameOf(error) !== "NotFoundError") throw error;
      });
    },
  };
}

function writable(file: SyncFile): OpenShelf {
  const size = file.getSize();
  return {
    busy: false,
    holds: ({ offset, bytes }) => offset + bytes <= size,
    async read({ offset, bytes }) {
      const buffer = new Uint8Array(bytes);
      return file.read(buffer, { at: offset }) === bytes ? buffer : undefined;
    },
    async write({ offset }, bytes) {
      // A full disk shows as a short write, or as an error.
      if (file.write(bytes, { at: offset }) !== bytes.length)
        throw new DOMException("a short write", "QuotaExceededError");
      file.flush();
    },
    close: () => file.close(),
  };
}

async function readable(handle: FileSystemFileHandle): Promise<OpenShelf> {
  const file = await handle.getFile();
  return {
    busy: true,
    holds: ({ offset, bytes }) => offset + bytes <= file.size,
    async read({ offset, bytes }: Chunk): Promise<Bytes | undefined> {
      // It fails where somebody has written meanwhile.
      const buffer = await file
        .slice(offset, offset + bytes)
        .arrayBuffer()
        .catch(() => undefined);
      return buffer?.byteLength === bytes ? new Uint8Array(buffer) : undefined;
    },
    write: () => Promise.reject(new DOMException("open to read only", "NoModificationAllowedError")),
    close: () => {},
  };
}

/** The name of a browser's error. */
export function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}
