// Files that pass for exported conversations and are made to do harm: each is refused with a sentence, or comes in without the harm.
import { expect, test } from "vitest";
import { pathOf } from "./conversation";
import { readParcel, unpack } from "./transfer";

/** A file as text: of version 1, which needs no hash, so that everything behind the hash is reached. */
function file(turns: unknown, conversation: Record<string, unknown> = {}): string {
  return JSON.stringify({ format: "mar-conversation", version: 1, conversation: { turns, ...conversation } });
}

/** A message that is right but for this. */
function turn(other: Record<string, unknown> = {}): Record<string, unknown> {
  return { id: "a", parent: null, role: "user", content: "Hello!", created: 1, ...other };
}

/** Lists in lists. */
function nested(depth: number): string {
  return "[".repeat(depth) + "]".repeat(depth);
}

test.each([
  ["lists in lists", nested(200_000), /this file is/],
  ["lists in lists as a message", file([nested(1)]).replace('"[]"', nested(200_000)), /this file is|is not an object/],
  ["a hash over lists in lists", file([]).replace(":1,", `:2,"sha256":"0","state":${nested(5000)},`), /nested deeper/],
  ["no object", "null", /not a conversation/],
  ["a number", "1e999", /not a conversation/],
  ["no messages", file({ length: 3 }), /has no messages/],
  ["a text as messages", file("aaa"), /has no messages/],
  ["a message that is a list", file([[]]), /message 1 .* is not an object/],
  ["a message that is nothing", file([turn(), null]), /message 2 .* is not an object/],
  ["an id that is an object", file([turn({ id: { toString: "a" } })]), /has no id/],
  ["an id that is a huge number", file([turn({ id: 1e300 })]), /has no id/],
  ["a parent that is an object", file([turn({ parent: {} })]), /does not say what it follows/],
  ["no parent", file([{ ...turn(), parent: undefined }]), /does not say what it follows/],
  ["a role of the system", file([turn({ role: "system" })]), /neither the user's nor the assistant's/],
  ["a role from a prototype", file([turn({ role: "__proto__" })]), /neither the user's nor the assistant's/],
  ["a text that is a list", file([turn({ content: ["x"] })]), /has no text/],
  ["a text that is an object", file([turn({ content: { length: 1e9 } })]), /has no text/],
  ["a message after itself", file([turn({ parent: "a" })]), /message a follows itself/],
  ["a ring of a thousand", file(ring(1000)), /follows itself/],
  ["a ring behind a branch", file([turn(), turn({ id: "x", parent: "a" }), ...ring(3)]), /follows itself/],
  ["a parent from a prototype", file([turn({ parent: "__proto__" })]), /is not in the file/],
  ["a parent that all objects have", file([turn({ parent: "constructor" })]), /is not in the file/],
  ["two of one id", file([turn(), turn()]), /the same id/],
  ["a version of a text", file([turn()]).replace(":1,", ':"1",'), /version is 1, which is none/],
  ["a version beyond numbers", file([turn()]).replace(":1,", ":1e999,"), /is of version Infinity/],
  ["a version below all", file([turn()]).replace(":1,", ":-1,"), /version is -1/],
  ["a version that is no whole number", file([turn()]).replace(":1,", ":1.5,"), /damaged or changed/],
])("%s is refused with a sentence", (_, text, reason) => {
  expect(() => unpack(text)).toThrow(reason);
});

/** Messages each of which follows the one before, and the first the last. */
function ring(length: number): Record<string, unknown>[] {
  return Array.from({ length }, (_, n) => turn({ id: `r${n}`, parent: `r${(n + length - 1) % length}` }));
}

test("keys of prototypes change no prototype, and nothing of them comes in", () => {
  const evil = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"id":"a",';
  const { conversation } = unpack(
    file([turn()], { title: "x" })
      .replace('{"id":"a",', evil)
      .replace('"conversation":{', `"conversation":{"__proto__":{"polluted":1,"leaf":"b"},`),
  );
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  expect((conversation as unknown as Record<string, unknown>).polluted).toBeUndefined();
  expect(Object.keys(conversation.turns[0] ?? {})).toEqual(["id", "parent", "role", "content", "created"]);
  expect(Object.getPrototypeOf(conversation.turns[0])).toBe(Object.prototype);
});

test("ids that all objects have are ids", () => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];
  const turns = names.map((id, n) => turn({ id, parent: names[n - 1] ?? null }));
  const { conversation } = unpack(file(turns, { leaf: "hasOwnProperty" }));
  expect(pathOf(conversation).map(({ id }) => id)).toEqual(names);
});

test("what is of a wrong type beside the messages is left out", () => {
  const [{ turns }] = [
    unpack(
      file([
        turn({ created: "yesterday", marks: [{ text: 1, position: 0 }], took: { tokens: "many" }, unfinished: "yes" }),
        turn({ id: "b", parent: "a", marks: { length: 1e9 }, took: [], created: null }),
        turn({ id: "c", parent: "b", marks: [{ text: "x", position: 1e300 }], took: null }),
      ]),
    ).conversation,
  ];
  for (const one of turns) {
    expect(Object.keys(one)).toEqual(["id", "parent", "role", "content", "created"]);
    expect(Number.isFinite(one.created)).toBe(true);
  }
  const { conversation, state } = unpack(
    file([turn()], { title: {}, model: 7, system: [], created: 12345, updated: "x", leaf: { id: "a" } }).replace(
      "12345",
      "1e999",
    ),
  );
  expect(conversation).toMatchObject({ title: "Imported chat", model: "", system: "", leaf: "a" });
  expect(Number.isFinite(conversation.created) && Number.isFinite(conversation.updated)).toBe(true);
  expect(state).toBeUndefined();
});

test("a title of a megabyte is cut, and ten thousand messages in a row are a conversation", () => {
  const turns = Array.from({ length: 10_000 }, (_, n) => turn({ id: `${n}`, parent: n === 0 ? null : `${n - 1}` }));
  const { conversation } = unpack(file(turns, { title: "x".repeat(1 << 20) }));
  expect(conversation.title).toHaveLength(200);
  expect(pathOf(conversation)).toHaveLength(10_000);
});

test("a file larger than any conversation is not even read", async () => {
  const large = { size: (256 << 20) + 1, text: () => Promise.reject(new Error("it was read")) } as Blob;
  await expect(readParcel(large)).rejects.toThrow("larger than any conversation");
});
