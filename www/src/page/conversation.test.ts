import { expect, test } from "vitest";
import {
  addTurn,
  emptyConversation,
  merge,
  messagesOf,
  pathOf,
  removeTurn,
  showBranch,
  siblingsOf,
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

test("two tabs' turns are united, and the own path stays", () => {
  const { chat, second } = branched();
  const other = structuredClone(chat);
  const theirs = addTurn(other, second.id, "user", "From another tab");
  const mine = addTurn(chat, second.id, "user", "From this one");
  const both = merge(chat, other);
  expect(both.turns.map(({ id }) => id)).toEqual(expect.arrayContaining([theirs.id, mine.id]));
  expect(pathOf(both).at(-1)?.id).toBe(mine.id);
});

test("a loop in a file ends", () => {
  const { chat, question, more } = branched();
  question.parent = more.id;
  expect(pathOf(chat).length).toBeLessThanOrEqual(chat.turns.length + 1);
});
