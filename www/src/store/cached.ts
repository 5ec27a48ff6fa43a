// Models in the Cache API, a response a chunk: for browsers without files that a worker can write.
import type { Shelf, Shelves } from "./shelf";

/** Before the names of all caches of models. */
const PREFIX = "mar-model-";

/** The caches; throws where the browser has none. */
export async function openCaches(): Promise<Shelves> {
  // It may be there and be denied.
  await caches.has(PREFIX);
  const look = async (id: string): Promise<Shelf> => {
    const cache = await caches.open(PREFIX + id);
    // Never asked of the network: a cache wants an address as a key.
    const key = (number: number): string => `./mar-chunks/${id}/${number}`;
    return {
      async read({ number, bytes }) {
        const found = await cache.match(key(number));
        const buffer = await found?.arrayBuffer();
        return buffer?.byteLength === bytes ? new Uint8Array(buffer) : undefined;
      },
      write: ({ number }, bytes) => cache.put(key(number), new Response(bytes)),
      close: () => {},
    };
  };
  return {
    keeper: "cache",
    look,
    open: async (id) => ({ ...(await look(id)), busy: false, holds: () => true }),
    async remove(id) {
      await caches.delete(PREFIX + id);
    },
  };
}
