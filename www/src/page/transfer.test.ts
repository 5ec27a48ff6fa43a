import { expect, test } from "vitest";
import { canonical, hashOf } from "./canonical";
import { addTurn, emptyConversation } from "./conversation";
import { costOf } from "./keep/costs.fake";
import { pack, unpack } from "./transfer";

function chat() {
  const conversation = emptyConversation("");
  const question = addTurn(conversation, null, "user", "Hello, “world”!");
  const answer = addTurn(conversation, question.id, "assistant", "Hi.");
  answer.marks = [{ text: "Hi.", position: 9 }];
  answer.unfinished = true;
  return { conversation, question, answer };
}

test("a file holds all of a conversation and its state, and gets an id of its own", () => {
  const { conversation, answer } = chat();
  const state = Uint8Array.from({ length: 20_000 }, (_, index) => index % 251);
  const costs = new Map([[answer.id, [costOf(9, "Hi"), costOf(10, ".")]]]);
  const back = unpack(pack({ conversation, state, costs }));
  expect(back.state).toEqual(state);
  expect(back.costs).toEqual(costs);
  expect(back.conversation).toEqual({ ...conversation, id: back.conversation.id });
  expect(back.conversation.id).not.toBe(conversation.id);
});

test("whatever is changed in a file, it is refused; spaces and the order of keys are nothing", () => {
  const text = pack({ conversation: chat().conversation, state: Uint8Array.of(1), costs: new Map() });
  for (const [from, to] of [
    ["Hi.", "Ho."],
    ['"AQ=="', '"AA=="'],
    ['"position": 9', '"position": 8'],
    [/"sha256": "[^"]+"/, '"sha256": "00"'],
  ] as const) {
    expect(text.replace(from, to)).not.toBe(text);
    expect(() => unpack(text.replace(from, to))).toThrow("damaged or changed");
  }
  const { sha256, ...file } = JSON.parse(text);
  expect(() => unpack(JSON.stringify(file))).toThrow("damaged or changed");
  expect(unpack(JSON.stringify({ ...file, sha256 })).state).toEqual(Uint8Array.of(1));
  expect(canonical({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
});

test("foreign, newer and senseless files are refused with the reason", () => {
  const file = JSON.parse(pack({ conversation: chat().conversation, state: undefined, costs: new Map() }));
  for (const [other, reason] of [
    ["", "not JSON"],
    [pack({ conversation: chat().conversation, state: undefined, costs: new Map() }).slice(0, 200), "cut off"],
    ["[1]", "not a conversation"],
    [JSON.stringify({ ...file, format: "other" }), "not a conversation"],
    [JSON.stringify({ ...file, version: 4 }), "is of version 4, and this page reads up to 3"],
    [JSON.stringify({ ...file, version: "two" }), "version is two"],
  ] as const) {
    expect(() => unpack(other)).toThrow(reason);
  }
});

test("a tree that is none is refused, however it was made", () => {
  const orphan = chat();
  orphan.question.parent = "nobody";
  const loop = chat();
  loop.question.parent = loop.answer.id;
  const twins = chat();
  twins.answer.id = twins.question.id;
  for (const [{ conversation }, reason] of [
    [orphan, "follows one that is not in the file"],
    [loop, "follows itself"],
    [twins, "the same id"],
  ] as const) {
    expect(() => unpack(pack({ conversation, state: undefined, costs: new Map() }))).toThrow(reason);
  }
});

test("files of versions 1, which had no hash, and 2, which had no energies, are read", () => {
  const {
    sha256: _,
    energies: __,
    ...file
  } = JSON.parse(pack({ conversation: chat().conversation, state: undefined, costs: new Map() }));
  expect(unpack(JSON.stringify({ ...file, version: 1 })).conversation.turns).toHaveLength(2);
  const { conversation, state } = file;
  const second = { ...file, version: 2, sha256: hashOf({ conversation, state }) };
  expect(unpack(JSON.stringify(second)).conversation.turns).toHaveLength(2);
  expect(() => unpack(JSON.stringify({ ...second, state: "AA==" }))).toThrow("damaged or changed");
});

test("energies that are none are refused", () => {
  const { conversation, answer } = chat();
  const text = pack({ conversation, state: undefined, costs: new Map([[answer.id, [costOf(9, "Hi.")]]]) });
  const file = JSON.parse(text);
  const [row] = file.energies[0].tokens;
  for (const [changed, reason] of [
    [{ milliseconds: "0" }, "a token's numbers"],
    [{ counts: [1] }, "a token's numbers"],
    [{ active: [-1, 5] }, "a token's numbers"],
    [{ joules_arithmetic_estimate: { spiking: 1 } }, "a token's numbers"],
  ] as const) {
    const energies = [{ ...file.energies[0], tokens: [{ ...row, ...changed }] }];
    const content = { conversation: file.conversation, state: null, energies };
    const other = { ...file, ...content, sha256: hashOf(content) };
    expect(() => unpack(JSON.stringify(other))).toThrow(reason);
  }
});
