import { expect, test } from "vitest";
import { sentence } from "./sentence";

test.each([
  [new Error("the file ends too early"), "The file ends too early."],
  ["it stopped. ", "It stopped."],
  ["http://127.0.0.1/m is not there; is this its address?", "http://127.0.0.1/m is not there; is this its address?"],
  ["", ""],
])("%s reads as a sentence", (error, expected) => {
  expect(sentence(error)).toBe(expected);
});
