// The page as a person uses it.
import { expect, type Page } from "@playwright/test";

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

/** Opens the page and waits for its model. Returns what goes wrong in its console from then on. */
export async function open(page: Page, query = ""): Promise<string[]> {
  const errors: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(`/${query}`);
  return errors;
}

/** Waits until the model can be talked to. */
export async function ready(page: Page): Promise<void> {
  await expect(page.getByRole("status")).toContainText("is ready");
}

/** Sets greedy sampling and the longest reply. */
export async function greedy(page: Page, maxTokens: number): Promise<void> {
  await page.getByText("Sampling").click();
  await page.getByLabel("Temperature").fill("0");
  await page.getByLabel("Longest reply").fill(String(maxTokens));
}

/** Says something, without waiting for the reply. */
export async function say(page: Page, text: string): Promise<void> {
  await page.getByLabel("Your message").fill(text);
  await page.keyboard.press("Enter");
}

/** Does something that brings a reply, and returns it. */
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
  return reply;
}
