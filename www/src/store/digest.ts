// Hashes, by the browser's own code.
import type { Bytes } from "./plan";

/** The sha-256 of some bytes, as 64 lower-case hexadecimal digits. */
export type Digest = (bytes: Bytes) => Promise<string>;

/** By WebCrypto, beside this thread. It is there on https and on localhost: where storage is, too. */
export async function sha256(bytes: Bytes): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
