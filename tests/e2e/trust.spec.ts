// Nothing that comes from outside runs, asks a server for anything, or opens a dialog; and the pages allow no such thing.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { open, ready, replyTo, sample, say } from "./page";
import { PAYLOADS } from "./payloads";
import { ADDRESS, inPieces, serve } from "./pieces";

const DIST = join(__dirname, "../../dist");

/** What must not happen on this page, as it happens. */
async function guard(page: Page): Promise<() => Promise<string[]>> {
  const seen: string[] = [];
  page.on("dialog", (dialog) => {
    seen.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("popup", () => seen.push("a window"));
  page.context().on("request", (request) => {
    if (request.url().includes("evil.example")) seen.push(`a request to ${request.url()}`);
  });
  await page.addInitScript(() => {
    const ran: string[] = [];
    Object.assign(window, { ran, pwned: () => ran.push("a script") });
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective, sample }) => {
      ran.push(`stopped only by ${effectiveDirective}: ${sample}`);
    });
  });
  return async () => [...seen, ...(await page.evaluate(() => (window as unknown as { ran: string[] }).ran))];
}

/** What is on the page that no text of others may bring there. */
function intruders(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const own = new Set(["http:", "https:", "mailto:"]);
    const found: string[] = [];
    for (const node of document.querySelectorAll("#transcript *, #chats *, #status, #model *, #about *")) {
      const names = node.getAttributeNames().filter((name) => name.startsWith("on") || name === "style");
      if (names.length > 0) found.push(node.outerHTML);
      if (/^(script|style|iframe|object|embed|img|video|audio|link|meta|base|form|template|math)$/i.test(node.tagName))
        found.push(node.outerHTML);
      if (node instanceof HTMLAnchorElement && node.hasAttribute("href") && !own.has(node.protocol))
        found.push(node.outerHTML);
    }
    return found;
  });
}

/** Moves over everything, and focuses what can be focused. */
async function touch(page: Page): Promise<void> {
  await page.evaluate(() => {
    for (const node of document.querySelectorAll<HTMLElement>("#transcript *")) {
      for (const type of ["mouseover", "mouseenter", "focus", "toggle"]) node.dispatchEvent(new Event(type));
    }
  });
}

test("an imported conversation is text, on every branch and in every field", async ({ page }) => {
  const happened = await guard(page);
  const wrong = await open(page);
  await ready(page);
  const turns = PAYLOADS.flatMap((payload, index) => {
    const [asked, answered] = [`q${index}`, `a${index}`];
    const marks = [{ text: payload, position: index }];
    const took = { tokens: 1, tokens_per_second: 1, arithmetic_pj: 1, with_data_pj: 1, finish_reason: payload };
    return [
      { id: asked, parent: index === 0 ? null : `a${index - 1}`, role: "user", content: payload, created: index },
      { id: answered, parent: asked, role: "assistant", content: payload, created: index, marks, took },
    ];
  });
  const text = PAYLOADS.join(" ");
  const conversation = { title: PAYLOADS[6], created: 1, updated: 1, model: text, system: text, turns, leaf: null };
  const buffer = Buffer.from(JSON.stringify({ format: "mar-conversation", version: 1, conversation, state: null }));
  await page.getByRole("button", { name: "Chats" }).click();
  const file = { name: "<img src=x onerror=pwned()>.json", mimeType: "application/json", buffer };
  await page.locator("#import-file").setInputFiles(file);
  await expect(page.getByTestId("message-assistant")).toHaveCount(PAYLOADS.length);
  await touch(page);
  expect(await intruders(page)).toEqual([]);
  // Its name, where it is refused.
  await page.locator("#import-file").setInputFiles({ ...file, buffer: Buffer.from('{"format": "<img src=x>"}') });
  await expect(page.getByTestId("status")).toContainText("<img src=x onerror=pwned()>.json was not imported");
  expect(await intruders(page)).toEqual([]);
  expect(await happened()).toEqual([]);
  expect(wrong).toEqual([]);
});

test("what a person says is text", async ({ page }) => {
  const happened = await guard(page);
  const wrong = await open(page);
  await ready(page);
  await sample(page, { Temperature: 0, "Longest answer": 2 });
  await say(page, PAYLOADS.join("\n\n"));
  await expect(page.getByTestId("message-user")).toHaveCount(1);
  await expect(page.getByTestId("send")).toBeVisible();
  await touch(page);
  expect(await intruders(page)).toEqual([]);
  expect(await happened()).toEqual([]);
  expect(wrong).toEqual([]);
});

test("a model's names, card, template and errors are text", async ({ page }) => {
  const happened = await guard(page);
  const list = PAYLOADS.map((name) => {
    return { name, bytes: 1, sha256: name, metrics: { licence: name, teacher: name, description: name } };
  });
  await page.route("**/models/index.json", (route) => route.fulfill({ json: list }));
  const files = inPieces();
  files.delete("manifest.json");
  files.delete("model.safetensors.00");
  const template = "{{ raise_exception('<img src=x onerror=pwned()><script>pwned()</script>') }}";
  files.set("tokenizer_config.json", Buffer.from(JSON.stringify({ chat_template: template })));
  for (const [name, content, says] of [
    ["config.json", '{"<img src=x onerror=pwned()>": 1}', "<img src=x onerror=pwned()>"],
    ["manifest.json", '{"<svg onload=pwned()>": 1}', "<svg onload=pwned()>"],
  ] as const) {
    await serve(page, new Map(files).set(name, Buffer.from(content)));
    await page.goto(`/?model=${ADDRESS}&<svg/onload=pwned()>`);
    await expect(page.getByTestId("status")).toContainText(says);
    expect(await intruders(page)).toEqual([]);
  }
  await page.goto(`/?model=${encodeURIComponent("javascript:pwned()//<img src=x onerror=pwned()>")}`);
  await expect(page.getByTestId("status")).toContainText("could not be loaded");
  expect(await page.locator("#model option").count()).toBe(PAYLOADS.length + 1);
  await page.getByRole("button", { name: "About the models" }).click();
  await expect(page.locator("#about-models section")).toHaveCount(PAYLOADS.length + 1);
  await expect(page.locator("#about-news")).toContainText("Its metrics.json could not be read");
  expect(await intruders(page)).toEqual([]);
  expect(await happened()).toEqual([]);
});

/** A tokenizer whose tokens are payloads, but for single bytes and the special ones: nothing is merged, so prompts are bytes. */
function payloadTokenizer(): object {
  const file = join(__dirname, "../../models/mar-smalltalk/tokenizer.json");
  const tokenizer = JSON.parse(readFileSync(file, "utf8")) as {
    added_tokens: { id: number }[];
    model: { vocab: Record<string, number>; merges: unknown[] };
  };
  const special = new Set(tokenizer.added_tokens.map(({ id }) => id));
  const { model } = tokenizer;
  const vocab = Object.entries(model.vocab).map(([text, id]) => {
    const own = special.has(id) || text.length === 1;
    return [own ? text : asBytes(`${PAYLOADS[id % PAYLOADS.length]}\n\n${id} `), id];
  });
  Object.assign(model, { vocab: Object.fromEntries(vocab), merges: [] });
  return tokenizer;
}

/** A text as a byte-level vocabulary writes it: a letter a byte, and those that cannot be seen from U+0100 on. */
function asBytes(text: string): string {
  const seen = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  const hidden = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !seen(byte));
  return [...Buffer.from(text)]
    .map((byte) => String.fromCodePoint(seen(byte) ? byte : 256 + hidden.indexOf(byte)))
    .join("");
}

test("what a model answers is text, token for token and when it is whole", async ({ page }) => {
  const happened = await guard(page);
  await page.route("**/models/index.json", (route) => route.fulfill({ json: [] }));
  await page.route("**/mar-smalltalk/manifest.json", (route) => route.fulfill({ status: 404 }));
  await page.route("**/mar-smalltalk/tokenizer.json", (route) => route.fulfill({ json: payloadTokenizer() }));
  await open(page, "?backend=cpu&model=models/mar-smalltalk/");
  await ready(page);
  await sample(page, { Temperature: 2, "Longest answer": 200, Seed: 1 });
  // Whoever watches sees what is on the page after every token.
  await page.evaluate(() => {
    const bad = "script, style, iframe, object, embed, img, video, audio, link, base, form, template, math";
    const seen = new Set<string>();
    Object.assign(window, { seen });
    const transcript = document.querySelector("#transcript");
    const look = () => {
      for (const node of transcript?.querySelectorAll(bad) ?? []) seen.add(node.outerHTML);
    };
    if (transcript) new MutationObserver(look).observe(transcript, { childList: true, subtree: true });
  });
  const { text } = await replyTo(page, () => say(page, "Hello!"));
  expect(PAYLOADS.filter((payload) => text.includes(payload)).length).toBeGreaterThan(PAYLOADS.length / 3);
  await touch(page);
  expect(await page.evaluate(() => [...(window as unknown as { seen: Set<string> }).seen])).toEqual([]);
  expect(await intruders(page)).toEqual([]);
  expect(await happened()).toEqual([]);
});

test("a chat template's words are text", async ({ page }) => {
  const happened = await guard(page);
  await page.route("**/mar-smalltalk/manifest.json", (route) => route.fulfill({ status: 404 }));
  const says = PAYLOADS.slice(0, 6).join(" ").replaceAll("'", '"').replaceAll("\n", " ");
  const chat_template = `{{ raise_exception('${says}') }}`;
  await page.route("**/models/index.json", (route) => route.fulfill({ json: [] }));
  await page.route("**/mar-smalltalk/tokenizer_config.json", (route) => route.fulfill({ json: { chat_template } }));
  await open(page, "?model=models/mar-smalltalk/");
  await ready(page);
  await say(page, "Hello!");
  await expect(page.getByTestId("status")).toContainText("the chat template fails: <script>pwned()</script>", {
    ignoreCase: true,
  });
  expect(await intruders(page)).toEqual([]);
  expect(await happened()).toEqual([]);
});

test("every page of dist has the strict policy, and no script or style in itself", () => {
  const pages = readdirSync(DIST, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".html"));
  expect(pages).toEqual(expect.arrayContaining(["index.html", "bench.html", join("examples", "minimal.html")]));
  for (const name of pages) {
    const html = readFileSync(join(DIST, name), "utf8");
    const policy = /http-equiv="Content-Security-Policy"\s+content="([^"]*)"/.exec(html)?.[1] ?? "";
    const rules = new Map(policy.split(";").map((rule) => [rule.trim().split(" ")[0], rule.trim()]));
    expect(rules.get("default-src"), name).toBe("default-src 'none'");
    expect(rules.get("script-src"), name).toBe("script-src 'self' 'wasm-unsafe-eval'");
    expect(rules.get("connect-src"), name).toBe("connect-src 'self'");
    expect(rules.get("require-trusted-types-for"), name).toBe("require-trusted-types-for 'script'");
    expect(rules.get("trusted-types"), name).toBe("trusted-types mar dompurify");
    expect(policy, name).not.toMatch(/unsafe-inline|'unsafe-eval'|\*|https?:/);
    // The policy is read before anything that it is for.
    expect(html.indexOf("Content-Security-Policy"), name).toBeLessThan(html.search(/<script|<link|<style/));
    expect(html, name).not.toMatch(
      /<script(?![^>]*\ssrc=)[^>]*>|<style|\son[a-z]+=|\sstyle=|(src|href)="(https?:)?\/\//,
    );
  }
});

test("what the policy forbids does not happen", async ({ page }) => {
  for (const path of ["/", "/bench.html", "/examples/minimal.html"]) {
    await page.goto(path);
    const allowed = await page.evaluate(async () => {
      // What a debugger evaluates is exempt from the policy; what it leaves for later is not.
      const later = (work: () => unknown) =>
        new Promise((resolve, reject) =>
          setTimeout(() => {
            try {
              resolve(work());
            } catch (error) {
              reject(error);
            }
          }),
        );
      const tries: Record<string, () => unknown> = {
        // biome-ignore lint/security/noGlobalEval: it is tried to see that it is not there
        eval: () => later(() => eval("1")),
        Function: () => later(() => new Function("return 1")()),
        innerHTML: () => {
          document.createElement("div").innerHTML = "<b>x</b>";
        },
        "a script's address": () => {
          document.createElement("script").src = "a.js";
        },
        "a worker of text": () => new Worker(URL.createObjectURL(new Blob(["1"]))),
        "another policy": () =>
          (
            window as unknown as { trustedTypes: { createPolicy(name: string, rules: object): unknown } }
          ).trustedTypes.createPolicy("other", {}),
        "another server": () => fetch("https://evil.example/"),
        "a frame": () => {
          const frame = document.body.appendChild(document.createElement("iframe"));
          return new Promise((resolve, reject) => {
            document.addEventListener("securitypolicyviolation", () => reject(new Error("stopped")), { once: true });
            frame.src = "https://evil.example/";
            frame.addEventListener("load", () => resolve(1));
          });
        },
      };
      const done: string[] = [];
      for (const [name, attempt] of Object.entries(tries)) {
        await Promise.resolve()
          .then(attempt)
          .then(() => done.push(name))
          .catch(() => undefined);
      }
      return done;
    });
    expect(allowed, path).toEqual([]);
  }
});
