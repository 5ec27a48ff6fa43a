import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { addTurn, adopt, type Conversation, emptyConversation, type Turn } from "../conversation";
import { Owed } from "./owed";
import { GoneError } from "./shelf";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A storage that can be full, and everything that is in it. */
class Disk {
  error: Error | undefined;
  readonly kept: string[] = [];
  readonly owed = new Owed(async (_: Conversation, turns: readonly Turn[]) => {
    if (this.error) throw this.error;
    this.kept.push(...turns.map(({ content }) => content));
  });
}

function say(chat: Conversation, content: string): Turn {
  return addTurn(chat, chat.leaf, "user", content);
}

test("what could not be written is written with what comes next", async () => {
  const [disk, chat] = [new Disk(), emptyConversation("")];
  disk.error = new DOMException("", "QuotaExceededError");
  await expect(disk.owed.write(chat, [say(chat, "first")])).rejects.toThrow();
  await expect(disk.owed.write(chat, [say(chat, "second")])).rejects.toThrow();
  expect(disk.owed.chats).toEqual([chat]);
  disk.error = undefined;
  await disk.owed.write(chat, [say(chat, "third")]);
  expect(disk.kept).toEqual(["first", "second", "third"]);
  expect(disk.owed.chats).toEqual([]);
});

test("it is tried again until there is room, also where nothing comes next", async () => {
  const disk = new Disk();
  const chats = [emptyConversation(""), emptyConversation("")];
  disk.error = new DOMException("", "QuotaExceededError");
  for (const [index, chat] of chats.entries()) {
    await expect(disk.owed.write(chat, [say(chat, `of ${index}`)])).rejects.toThrow();
  }
  await vi.advanceTimersByTimeAsync(60_000);
  expect(disk.kept).toEqual([]);
  disk.error = undefined;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(disk.kept).toEqual(["of 0", "of 1"]);
  expect(vi.getTimerCount()).toBe(0);
});

test("a growing answer is owed as it is when there is room", async () => {
  const [disk, chat] = [new Disk(), emptyConversation("")];
  disk.error = new DOMException("", "QuotaExceededError");
  const turn = say(chat, "Once");
  await expect(disk.owed.write(chat, [turn])).rejects.toThrow();
  turn.content += " upon a time";
  disk.error = undefined;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(disk.kept).toEqual(["Once upon a time"]);
});

test("what was taken back or deleted is owed to nobody", async () => {
  const [disk, chat] = [new Disk(), emptyConversation("")];
  const [stays, goes] = [say(chat, "stays"), say(chat, "goes")];
  disk.error = new DOMException("", "QuotaExceededError");
  await expect(disk.owed.write(chat, [stays, goes])).rejects.toThrow();
  disk.owed.forget(chat.id, [goes]);
  disk.error = new GoneError();
  const gone = emptyConversation("");
  await expect(disk.owed.write(gone, [say(gone, "gone")])).rejects.toThrow();
  disk.error = undefined;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(disk.kept).toEqual(["stays"]);
});

test("a conversation that is read again while it is owed stays what it is", () => {
  const chat = emptyConversation("");
  const turn = say(chat, "a question");
  turn.unfinished = true;
  adopt(chat, chat);
  expect(chat.turns).toEqual([turn]);
  expect(turn.unfinished).toBe(true);
});
