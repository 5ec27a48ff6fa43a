import { expect, test } from "vitest";
import { csv } from "./csv";

test("plain cells stay as they are", () => {
  expect(csv(["a", "b"], [[1, "x"]])).toBe("a,b\r\n1,x\r\n");
});

test("commas, quotes and line breaks are quoted", () => {
  expect(csv(["t"], [[","], ['"'], ["\n"], [" cat"]])).toBe('t\r\n","\r\n""""\r\n"\n"\r\n cat\r\n');
});

test("a table without rows has its header", () => {
  expect(csv(["a"], [])).toBe("a\r\n");
});
