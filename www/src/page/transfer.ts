// A conversation as a file.
import { type Conversation, newId, type Turn } from "./conversation";

const FORMAT = "mar-conversation";
const VERSION = 1;

/** What a file holds. */
export interface Parcel {
  conversation: Conversation;
  /** The engine's state after the shown path. */
  state: Uint8Array | undefined;
}

/** The text of a file. */
export function pack({ conversation, state }: Parcel): string {
  const bytes = state && base64(state);
  return `${JSON.stringify({ format: FORMAT, version: VERSION, conversation, state: bytes ?? null }, null, 1)}\n`;
}

/** Reads a file of `pack`. Everything in it is checked; the conversation gets an id of its own. */
export function unpack(text: string): Parcel {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new Error("this file is not JSON; choose one that Export has written");
  }
  if (!isRecord(file) || file.format !== FORMAT || !isRecord(file.conversation)) {
    throw new Error("this file is not a conversation; choose one that Export has written");
  }
  if (file.version !== VERSION) {
    throw new Error(`this conversation is of version ${file.version}, and this page reads version ${VERSION}`);
  }
  const { title, created, updated, model, system, turns, leaf } = file.conversation;
  if (!Array.isArray(turns)) throw new Error("this conversation has no messages");
  const checked = turns.map(turnFrom);
  const ids = new Set(checked.map(({ id }) => id));
  const orphan = checked.find(({ parent }) => parent !== null && !ids.has(parent));
  if (orphan) throw new Error(`message ${orphan.id} follows one that is not in the file`);
  const conversation: Conversation = {
    id: newId(),
    title: textOr(title, "Imported chat").slice(0, 200),
    created: numberOr(created, Date.now()),
    updated: numberOr(updated, Date.now()),
    model: textOr(model, ""),
    system: textOr(system, ""),
    turns: checked,
    leaf: typeof leaf === "string" && ids.has(leaf) ? leaf : (checked.at(-1)?.id ?? null),
  };
  return { conversation, state: typeof file.state === "string" ? bytesOf(file.state) : undefined };
}

function turnFrom(value: unknown, index: number): Turn {
  const wrong = (what: string) => new Error(`message ${index + 1} of this conversation ${what}`);
  if (!isRecord(value)) throw wrong("is not an object");
  const { id, parent, role, content, created, marks, took } = value;
  if (typeof id !== "string") throw wrong("has no id");
  if (parent !== null && typeof parent !== "string") throw wrong("does not say what it follows");
  if (role !== "user" && role !== "assistant") throw wrong("is neither the user's nor the assistant's");
  if (typeof content !== "string") throw wrong("has no text");
  const turn: Turn = { id, parent, role, content, created: numberOr(created, Date.now()) };
  if (Array.isArray(marks) && marks.every(isMark)) turn.marks = marks;
  if (isTook(took)) turn.took = took;
  return turn;
}

function isMark(value: unknown): value is { text: string; position: number } {
  return isRecord(value) && typeof value.text === "string" && Number.isSafeInteger(value.position);
}

function isTook(value: unknown): value is NonNullable<Turn["took"]> {
  if (!isRecord(value)) return false;
  const numbers = [value.tokens, value.tokens_per_second, value.arithmetic_pj, value.with_data_pj];
  return numbers.every((number) => typeof number === "number") && typeof value.finish_reason === "string";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === "string" ? value : otherwise;
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}

/** In pieces: an argument list has a limit. */
function base64(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192) {
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(text);
}

function bytesOf(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    // A damaged state costs a prefill, no more.
    return undefined;
  }
}
