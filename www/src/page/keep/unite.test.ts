import { expect, test } from "vitest";
import { type KeptTurn, unite } from "./unite";

const turn = (page: string, content: string, more: Partial<KeptTurn> = {}): KeptTurn => ({
  id: "a",
  chat: "c",
  parent: null,
  role: "assistant",
  created: 1,
  page,
  content,
  ...more,
});

test("a page may change what it wrote, also to something shorter", () => {
  expect(unite(turn("p", "Good day "), turn("p", "Good day")).content).toBe("Good day");
  expect(unite(undefined, turn("p", "Hi"))).toEqual(turn("p", "Hi"));
});

test("of two pages' texts the longer one stays, whoever wrote last", () => {
  const [short, long] = [turn("p", "Good"), turn("q", "Good day")];
  expect(unite(short, long)).toBe(long);
  expect(unite(long, short)).toBe(long);
  const [whole, part] = [turn("p", "Hi"), turn("q", "Hi", { unfinished: true })];
  expect(unite(whole, part)).toBe(whole);
  expect(unite(part, whole)).toBe(whole);
});

test("texts that part become two branches, and stay two however often they are written", () => {
  const stored = turn("p", "Good day");
  const both = unite(stored, turn("q", "Good night"));
  expect(both.id).not.toBe(stored.id);
  expect(both.content).toBe("Good night");
  expect(unite(both, { ...turn("q", "Good night, Luna"), id: both.id }).id).toBe(both.id);
  expect(unite(stored, turn("q", "Good night, Luna")).id).toBe(both.id);
});
