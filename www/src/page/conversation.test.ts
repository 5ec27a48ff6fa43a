import { expect, test } from "vitest";
import {
  addTurn,
  adopt,
  adoptTurn,
  emptyConversation,
  messagesOf,
  pathOf,
  removeTurn,
  showBranch,
  siblingsOf,
  unfinishedEnd,
} from "./conversation";

/** A question with two answers, the second of which goes on. */
function branched() {
  const chat = emptyConversation("Be kind.");
  const question = addTurn(chat, null, "user", "Hello!");
  const first = addTurn(chat, question.id, "assistant", "Hi.");
  const second = addTurn(chat, question.id, "assistant", "Good day.");
  const more = addTurn(chat, second.id, "user", "Bye!");
  return { chat, question, first, second, more };
}

test("the path is that of the shown branch, and messages begin with the system prompt", () => {
  const { chat, question, first, second, more } = branched();
  expect(pathOf(chat)).toEqual([question, second, more]);
  expect(siblingsOf(chat, second)).toEqual([first, second]);
  expect(messagesOf(chat, second.id).map(({ content }) => content)).toEqual(["Be kind.", "Hello!", "Good day."]);
  showBranch(chat, first);
  expect(pathOf(chat)).toEqual([question, first]);
  showBranch(chat, second);
  expect(pathOf(chat)).toEqual([question, second, more]);
  expect(chat.title).toBe("Hello!");
});

test("a turn that is taken back leaves no trace", () => {
  const { chat, second, more } = branched();
  removeTurn(chat, more, second.id);
  expect(pathOf(chat).at(-1)).toBe(second);
  expect(chat.turns).not.toContain(more);
});

test("what another tab has kept is taken over, and turns keep their identity", () => {
  const { chat, second, more } = branched();
  more.unfinished = true;
  const kept = structuredClone(chat);
  const theirs = addTurn(kept, more.id, "assistant", "Goodbye.");
  for (const turn of kept.turns) {
    if (turn.id === second.id) turn.content = "Good day to you.";
    delete turn.unfinished;
  }
  adopt(chat, kept);
  expect(chat).toEqual(kept);
  expect(pathOf(chat)[1]).toBe(second);
  expect(pathOf(chat)[2]).toBe(more);
  // It grows further than what is kept.
  adoptTurn(chat, { ...theirs, content: "Goodbye, and take care." });
  expect(pathOf(chat).at(-1)?.content).toBe("Goodbye, and take care.");
  expect(chat.turns).toHaveLength(kept.turns.length);
});

test("where something is missing at the end of the path is told", () => {
  const { chat, first, more } = branched();
  expect(unfinishedEnd(chat)).toBe(more);
  showBranch(chat, first);
  expect(unfinishedEnd(chat)).toBe(undefined);
  first.unfinished = true;
  expect(unfinishedEnd(chat)).toBe(first);
});

test("a loop in a file ends", () => {
  const { chat, question, more } = branched();
  question.parent = more.id;
  expect(pathOf(chat).length).toBeLessThanOrEqual(chat.turns.length + 1);
});
