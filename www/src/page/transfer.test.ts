import { expect, test } from "vitest";
import { addTurn, emptyConversation } from "./conversation";
import { pack, unpack } from "./transfer";

test("a file holds all of a conversation and its state, and gets an id of its own", () => {
  const conversation = emptyConversation("");
  const question = addTurn(conversation, null, "user", "Hello, “world”!");
  addTurn(conversation, question.id, "assistant", "Hi.").marks = [{ text: "Hi.", position: 9 }];
  const state = Uint8Array.from({ length: 20_000 }, (_, index) => index % 251);
  const back = unpack(pack({ conversation, state }));
  expect(back.state).toEqual(state);
  expect(back.conversation).toEqual({ ...conversation, id: back.conversation.id });
  expect(back.conversation.id).not.toBe(conversation.id);
});

test("a message that follows nothing is refused, and a damaged state costs no more than itself", () => {
  const conversation = emptyConversation("");
  addTurn(conversation, "nobody", "user", "Hello!");
  expect(() => unpack(pack({ conversation, state: undefined }))).toThrow("follows one that is not in the file");
  const text = pack({ conversation: emptyConversation(""), state: Uint8Array.of(1) }).replace('"AQ=="', '"?"');
  expect(unpack(text).state).toBe(undefined);
});
