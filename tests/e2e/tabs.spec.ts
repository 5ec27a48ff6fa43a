// One conversation in two tabs: one writes, the other reads along, and may take over.
import { type BrowserContext, expect, type Page, test } from "@playwright/test";
import { action, greedy, grown, hold, kill, open, openInAnswer, ready, replyTo, rows, say, watch } from "./page";

/** Opens the conversation of another tab in a new one. */
async function follow(context: BrowserContext, title: RegExp): Promise<{ other: Page; wrong: string[] }> {
  const other = await context.newPage();
  const wrong = watch(other);
  await other.goto("/");
  await ready(other);
  await other.getByRole("button", { name: "Chats" }).click();
  await other.locator("#chat-list").getByRole("button", { name: title }).click();
  await expect(other.getByTestId("message-user").first()).toBeVisible();
  return { other, wrong };
}

test("a second tab reads along, takes over, and gives back what it wrote", async ({ page, context }) => {
  const wrong = await openInAnswer(page);
  const { other, wrong: wrongThere } = await follow(context, /^Tell me/);
  await expect(other.getByTestId("elsewhere")).toBeVisible();
  await expect(page.getByTestId("elsewhere")).toBeHidden();
  // It grows in both.
  const seen = await grown(other, 20);
  await hold(page, 15);
  await grown(other, seen.length + 20);
  await other.getByTestId("prompt").fill("What is your name?");
  await expect(other.getByTestId("send")).toBeDisabled();

  await other.getByRole("button", { name: "Write here instead" }).click();
  await hold(page, Number.POSITIVE_INFINITY);
  await expect(other.getByTestId("elsewhere")).toBeHidden();
  await expect(page.getByTestId("elsewhere")).toBeVisible();
  await expect(page.getByTestId("stop")).toBeHidden();
  // Nothing of the answer is lost on the way.
  const answer = (await page.getByTestId("message-assistant").textContent()) ?? "";
  await expect(other.getByTestId("message-assistant")).toHaveText(answer);
  await greedy(other, 8);
  await replyTo(other, () => other.getByTestId("send").click());
  const said = (await other.getByTestId("message-assistant").last().textContent()) ?? "";
  await expect(page.getByTestId("message-user").last()).toHaveText("What is your name?");
  await expect(page.getByTestId("message-assistant").last()).toHaveText(said);

  // A tab that dies leaves the pen to the one that waits.
  await kill(other);
  await expect(page.getByTestId("elsewhere")).toBeHidden();
  await greedy(page, 8);
  await replyTo(page, () => say(page, "Thank you!"));
  await expect(page.getByTestId("message-user")).toHaveText([
    "Tell me a long story.",
    "What is your name?",
    "Thank you!",
  ]);
  await page.reload();
  await ready(page);
  await expect(page.getByTestId("message-user")).toHaveText([
    "Tell me a long story.",
    "What is your name?",
    "Thank you!",
  ]);
  await expect(page.getByTestId("message-assistant").nth(1)).toHaveText(said);
  expect([...wrong, ...wrongThere]).toEqual([]);
});

test("what one tab deletes does not come back from another that writes it", async ({ page, context }) => {
  const wrong = await openInAnswer(page);
  const { other, wrong: wrongThere } = await follow(context, /^Tell me/);
  const remove = other.getByRole("button", { name: /^Delete the conversation Tell me/ });
  await remove.click();
  await remove.click();
  await hold(page, Number.POSITIVE_INFINITY);
  for (const tab of [page, other]) await expect(tab.getByTestId("message-user")).toHaveCount(0);
  await expect(page.getByTestId("status")).toHaveText("This conversation was deleted in another tab.");
  await greedy(page, 4);
  await replyTo(page, () => say(page, "Hello!"));
  for (const table of ["conversations", "states", "costs"]) {
    await expect.poll(async () => (await rows(page, table)).length).toBe(1);
  }
  expect(await rows<{ content: string }>(page, "turns")).toHaveLength(2);
  expect([...wrong, ...wrongThere]).toEqual([]);
});

test("a tab that does not answer is not waited for, and its text stays beside the other's", async ({
  page,
  context,
}) => {
  await open(page);
  await ready(page);
  await greedy(page, 4);
  await replyTo(page, () => say(page, "Hello!"));
  const { other } = await follow(context, /^Hello!/);
  await other.getByRole("button", { name: "Close the list of conversations" }).click();
  // It says nothing any more, as if it hung.
  await page.evaluate(() => {
    BroadcastChannel.prototype.postMessage = () => {};
  });
  await other.getByRole("button", { name: "Write here instead" }).click();
  await expect(other.getByTestId("elsewhere")).toBeHidden();
  await greedy(other, 4);
  await replyTo(other, () => action(other.getByTestId("message-assistant"), "Another answer").click());
  await expect(other.getByText("2 of 2")).toBeVisible();
  await expect(page.getByTestId("elsewhere")).toBeVisible();
});
