import { expect, test } from "@playwright/test";
import { formatBytes } from "../../www/src/page/format";
import { generate } from "./native";
import { greedy, open, ready, replyTo, say } from "./page";
import { ADDRESS, inPieces, serve } from "./pieces";

const QUERY = `?backend=cpu&model=${ADDRESS}`;

test("weights in pieces are the same model", async ({ page }) => {
  const files = inPieces();
  const asked = await serve(page, files);
  // What the page tells while they come.
  await page.addInitScript(() => {
    const seen: string[] = [];
    Object.assign(window, { seen });
    new MutationObserver(() => {
      const text = document.getElementById("load-text")?.textContent;
      if (text && text !== seen.at(-1)) seen.push(text);
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
  const errors = await open(page, QUERY);
  await ready(page);
  expect(asked.filter((name) => name.startsWith("model."))).toEqual([
    "model.safetensors.00",
    "model.safetensors.01",
    "model.safetensors.02",
  ]);
  const seen = await page.evaluate(() => (window as unknown as { seen: string[] }).seen);
  expect(seen[0]).toBe("connecting");
  // The total is of all files that a model is loaded from, from the first on.
  const total = formatBytes(sizeOf(files));
  expect(seen.at(-1)).toBe(`${total} of ${total}`);
  expect(seen.slice(1).filter((text) => !text.endsWith(` of ${total}`))).toEqual([]);
  await greedy(page, 32);
  const native = generate("Tell me a story about a dog.", 32);
  const reply = await replyTo(page, () => say(page, "Tell me a story about a dog."));
  expect(reply.tokens).toEqual(native.tokens);
  expect(reply.text).toBe(native.text);
  expect(errors).toEqual([]);
});

/** Bytes of all but the manifest. */
function sizeOf(files: Map<string, Buffer>): number {
  return [...files].reduce((sum, [name, { length }]) => sum + (name === "manifest.json" ? 0 : length), 0);
}

for (const { what, spoil, says } of [
  {
    what: "damaged",
    spoil: (files: Map<string, Buffer>) => {
      const piece = Buffer.from(files.get("model.safetensors.01") ?? []);
      piece[70_000] = (piece[70_000] ?? 0) ^ 1;
      files.set("model.safetensors.01", piece);
    },
    says: "model.safetensors.01: chunk 0 has sha-256",
  },
  {
    what: "cut short",
    spoil: (files: Map<string, Buffer>) => {
      files.set("model.safetensors.00", files.get("model.safetensors.00")?.subarray(0, 900_000) ?? Buffer.of());
    },
    says: "model.safetensors.00: 900000 bytes came, expected 1048576",
  },
  {
    what: "not there",
    spoil: (files: Map<string, Buffer>) => void files.delete("model.safetensors.02"),
    says: "model.safetensors.02 is not there",
  },
]) {
  test(`a piece that is ${what} is named`, async ({ page }) => {
    const files = inPieces();
    spoil(files);
    await serve(page, files);
    await open(page, QUERY);
    await expect(page.getByTestId("status")).toContainText(says, { ignoreCase: true });
    // Another model can be loaded then.
    await page.getByRole("combobox", { name: "Model" }).selectOption({ index: 1 });
    await ready(page);
  });
}
