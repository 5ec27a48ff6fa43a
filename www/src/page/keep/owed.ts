// What could not be written: it is written with what comes next, and tried again until it is there.
import type { Conversation, Turn } from "../conversation";
import { GoneError } from "./shelf";

/** Milliseconds between two tries. */
const AGAIN = 2000;

/** Conversations of which the storage does not have everything, perhaps because it is full. */
export class Owed {
  readonly #write: (chat: Conversation, turns: readonly Turn[]) => Promise<void>;
  readonly #turns = new Map<Conversation, Set<Turn>>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(write: (chat: Conversation, turns: readonly Turn[]) => Promise<void>) {
    this.#write = write;
  }

  /** The conversations as this page has them. */
  get chats(): Conversation[] {
    return [...this.#turns.keys()];
  }

  /** Writes these turns, and what is owed of the conversation. Where that fails, all of it is owed. */
  async write(chat: Conversation, turns: readonly Turn[]): Promise<void> {
    const all = new Set([...(this.#turns.get(chat) ?? []), ...turns]);
    try {
      await this.#write(chat, [...all]);
    } catch (error) {
      // What was deleted is owed to nobody.
      if (error instanceof GoneError) this.#turns.delete(chat);
      else this.#owe(chat, all);
      throw error;
    }
    this.forget(chat.id, [...all]);
  }

  /** Nobody wants these turns any more, or any of the conversation. */
  forget(id: string, turns?: readonly Turn[]): void {
    for (const [chat, owed] of this.#turns) {
      if (chat.id !== id) continue;
      for (const turn of turns ?? owed) owed.delete(turn);
      if (owed.size === 0) this.#turns.delete(chat);
    }
  }

  #owe(chat: Conversation, turns: Iterable<Turn>): void {
    this.#turns.set(chat, new Set([...(this.#turns.get(chat) ?? []), ...turns]));
    this.#timer ??= setTimeout(() => void this.#again(), AGAIN);
  }

  async #again(): Promise<void> {
    this.#timer = undefined;
    // Whoever wrote them first has told the person.
    for (const chat of this.chats) await this.write(chat, []).catch(() => {});
  }
}
