// A conversation is a tree: an edited message, or another answer to one, is a branch. One path through it is shown.
import type { Message } from "../mar/types";

/** A token of an answer, and where in the engine's conversation it is. */
export interface Mark {
  text: string;
  position: number;
}

/** The position of a text that is in the engine's conversation, but in other tokens than it was written in. */
export const NOWHERE = -1;

/** What an answer took. Times are measured; energies are estimates, in picojoules. */
export interface Took {
  tokens: number;
  tokens_per_second: number;
  arithmetic_pj: number;
  with_data_pj: number;
  finish_reason: "stop" | "length" | "cancelled";
}

/** One message. */
export interface Turn {
  id: string;
  /** The turn that it follows; null where it begins the conversation. */
  parent: string | null;
  role: "user" | "assistant";
  content: string;
  /** Milliseconds since 1970. */
  created: number;
  marks?: Mark[];
  took?: Took;
  /** An answer that has not come to its end: it is being made, or was interrupted. */
  unfinished?: true;
}

/** What a list of conversations shows. */
export type Head = Omit<Conversation, "turns">;

/** All that was said, on all branches. */
export interface Conversation {
  id: string;
  title: string;
  created: number;
  updated: number;
  /** The name of the model that answered last. */
  model: string;
  system: string;
  turns: Turn[];
  /** The last turn of the path that is shown; null in an empty conversation. */
  leaf: string | null;
}

const TITLE_LENGTH = 60;

/** A conversation without turns. */
export function emptyConversation(system: string): Conversation {
  const now = Date.now();
  const id = newId();
  return { id, title: "New chat", created: now, updated: now, model: "", system, turns: [], leaf: null };
}

/** The turns that are shown, from the first. */
export function pathOf({ turns, leaf }: Conversation): Turn[] {
  const byId = new Map(turns.map((turn) => [turn.id, turn]));
  const path: Turn[] = [];
  for (let id = leaf; id !== null; ) {
    const turn = byId.get(id);
    // An imported tree may have a loop.
    if (!turn || path.length > turns.length) break;
    path.push(turn);
    id = turn.parent;
  }
  return path.reverse();
}

/** The turns that a turn is one of: those that follow the same one, the oldest first. */
export function siblingsOf({ turns }: Conversation, turn: Turn): Turn[] {
  return turns.filter((other) => other.parent === turn.parent && other.role === turn.role);
}

/** Says something after `parent`, and shows it. */
export function addTurn(chat: Conversation, parent: string | null, role: Turn["role"], content: string): Turn {
  const turn: Turn = { id: newId(), parent, role, content, created: Date.now() };
  chat.turns.push(turn);
  chat.leaf = turn.id;
  chat.updated = turn.created;
  if (role === "user" && parent === null) chat.title = titleFrom(content);
  return turn;
}

/** Takes back a turn that nothing follows; `leaf` is shown instead. */
export function removeTurn(chat: Conversation, turn: Turn, leaf: string | null): void {
  chat.turns = chat.turns.filter(({ id }) => id !== turn.id);
  chat.leaf = leaf;
}

/** Shows the branch of a turn, as far as its newest answer. */
export function showBranch(chat: Conversation, turn: Turn): void {
  let end = turn;
  for (let seen = 0; seen < chat.turns.length; seen++) {
    const next = chat.turns.findLast(({ parent }) => parent === end.id);
    if (!next) break;
    end = next;
  }
  chat.leaf = end.id;
}

/** What the engine is asked: the path as far as `last`, after the system prompt. */
export function messagesOf(chat: Conversation, last: string | null): Message[] {
  const path = pathOf({ ...chat, leaf: last }).map(({ role, content }) => ({ role, content }));
  const system = chat.system.trim();
  return system === "" ? path : [{ role: "system", content: system }, ...path];
}

/** Takes over what another tab has kept of this conversation. Turns that are here already keep their identity. */
export function adopt(chat: Conversation, kept: Conversation): void {
  const mine = new Map(chat.turns.map((turn) => [turn.id, turn]));
  chat.turns = kept.turns.map((turn) => become(mine.get(turn.id), turn));
  const { title, created, updated, model, system, leaf } = kept;
  Object.assign(chat, { title, created, updated, model, system, leaf });
}

/** Takes over one turn, as far as another tab has come with it, and shows it. */
export function adoptTurn(chat: Conversation, turn: Turn): void {
  const mine = chat.turns.find(({ id }) => id === turn.id);
  const now = become(mine, turn);
  if (!mine) chat.turns.push(now);
  chat.leaf = now.id;
}

function become(mine: Turn | undefined, turn: Turn): Turn {
  if (!mine || mine === turn) return turn;
  // What it no longer has must go: an answer that is whole is not unfinished.
  for (const key of ["marks", "took", "unfinished"] as const) delete mine[key];
  return Object.assign(mine, turn);
}

/** The end of the shown path, where something is missing there: an answer, or the rest of one. */
export function unfinishedEnd(chat: Conversation): Turn | undefined {
  const last = pathOf(chat).at(-1);
  return last?.unfinished || last?.role === "user" ? last : undefined;
}

/** An id that no other turn or conversation has. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function titleFrom(content: string): string {
  const line = content.trim().replace(/\s+/g, " ");
  return line.length > TITLE_LENGTH ? `${line.slice(0, TITLE_LENGTH - 1)}…` : line;
}
