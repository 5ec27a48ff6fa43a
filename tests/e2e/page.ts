// The page as a person uses it.
import { expect, type Locator, type Page } from "@playwright/test";

/** What the page tells of a reply, as far as tests look at it. */
export interface Reply {
  text: string;
  tokens: number[];
  finish_reason: string;
  stats: { backend: string; prompt_tokens: number; reused_tokens: number };
  ledger: { prompt: Ledger; reply: Ledger };
}

interface Ledger {
  spikes: number;
  ac: number;
  mac: number;
}

/** Labels of the settings, and what goes into them. */
export type Sampling = Partial<Record<"Temperature" | "Longest answer" | "Seed", number>>;

/** Opens the page. Returns what goes wrong in its console, and every request that leaves its origin, from then on. */
export async function open(page: Page, query = ""): Promise<string[]> {
  const wrong = watch(page);
  await page.goto(`/${query}`);
  return wrong;
}

/** What goes wrong on a page from now on. */
export function watch(page: Page): string[] {
  const wrong: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  page.context().on("request", (request) => {
    const url = new URL(request.url());
    const inside = ["data:", "blob:"].includes(url.protocol) || page.url() === "about:blank";
    if (!inside && url.origin !== new URL(page.url()).origin) wrong.push(`a request to ${url}`);
  });
  return wrong;
}

/** Waits until the model can be talked to. */
export async function ready(page: Page): Promise<void> {
  await expect(page.getByTestId("status")).toContainText("is ready");
}

/** Changes the settings. */
export async function sample(page: Page, sampling: Sampling): Promise<void> {
  await page.getByTestId("settings").click();
  for (const [label, value] of Object.entries(sampling)) await page.getByLabel(label).fill(String(value));
  await page.getByRole("button", { name: "Done" }).click();
}

/** Sets greedy sampling and the longest answer. */
export async function greedy(page: Page, maxTokens: number): Promise<void> {
  await sample(page, { Temperature: 0, "Longest answer": maxTokens });
}

/** Says something, without waiting for the reply. */
export async function say(page: Page, text: string): Promise<void> {
  await page.getByTestId("prompt").fill(text);
  await page.keyboard.press("Enter");
}

/** Does something that brings a reply, and returns it once the page has settled. */
export async function replyTo(page: Page, action: () => Promise<void>): Promise<Reply> {
  const reply = page.evaluate(
    () =>
      new Promise<Reply>((resolve) =>
        document.addEventListener("mar:reply", (event) => resolve((event as CustomEvent<Reply>).detail), {
          once: true,
        }),
      ),
  );
  await action();
  const told = await reply;
  await expect(page.getByTestId("send")).toBeVisible();
  return told;
}

/** A button of a message. */
export function action(message: Locator, name: string): Locator {
  return message.locator("xpath=ancestor::li").getByRole("button", { name });
}
