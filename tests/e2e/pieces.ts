// mar-smalltalk with its weights in pieces, at an address that the test answers itself.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";

const FOLDER = join(__dirname, "../../models/mar-smalltalk");
const CHUNK_BYTES = 1 << 20;

/** Where the model seems to lie. */
export const ADDRESS = "models/in-pieces/";

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function cut(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) parts.push(bytes.subarray(at, at + CHUNK_BYTES));
  return parts;
}

/** The model's files: those that the page needs, the weights in pieces of 1 MiB, and the manifest of both. */
export function inPieces(): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]) {
    files.set(name, readFileSync(join(FOLDER, name)));
  }
  for (const [number, piece] of cut(readFileSync(join(FOLDER, "model.safetensors"))).entries()) {
    files.set(`model.safetensors.${String(number).padStart(2, "0")}`, piece);
  }
  const listed = [...files].map(([path, bytes]) => {
    return { path, bytes: bytes.length, sha256: sha256(bytes), chunks: cut(bytes).map(sha256) };
  });
  const manifest = { format: "mar-manifest", format_version: 1, chunk_bytes: CHUNK_BYTES, files: listed };
  return files.set("manifest.json", Buffer.from(JSON.stringify(manifest)));
}

/** Answers the page's requests for these files; returns the names of those that it asked for. */
export async function serve(page: Page, files: Map<string, Buffer>): Promise<string[]> {
  const asked: string[] = [];
  await page.route(`**/${ADDRESS}*`, async (route) => {
    const name = new URL(route.request().url()).pathname.split("/").pop() ?? "";
    asked.push(name);
    const body = files.get(name);
    await route.fulfill(body ? { body } : { status: 404 });
  });
  return asked;
}
