// A conversation as a file.
import type { TokenCost } from "../pictures/cost";
import { hashOf } from "./canonical";
import { type Conversation, newId, type Turn } from "./conversation";
import { readCosts, writeCosts } from "./keep/costs-json";

const FORMAT = "mar-conversation";

/** Version 1 had no hash, version 2 no energies. */
const VERSION = 3;

/** The largest file that is read, in bytes: a state of a large model takes a few million. */
const LARGEST = 256 << 20;

/** Objects and lists in each other, at most: `pack` writes half as many. */
const DEEPEST = 16;

/** What a file holds. */
export interface Parcel {
  conversation: Conversation;
  /** The engine's state after the shown path. */
  state: Uint8Array | undefined;
  /** What the tokens of its answers took, by the answer's id, where it is known. */
  costs: Map<string, readonly TokenCost[]>;
}

/** The text of a file. */
export function pack({ conversation, state, costs }: Parcel): string {
  const energies = [...costs].map(([answer, costs]) => writeCosts(answer, costs));
  const content = { conversation, state: state ? base64(state) : null, energies };
  const file = { format: FORMAT, version: VERSION, sha256: hashOf(content), ...content };
  return `${JSON.stringify(file, null, 1)}\n`;
}

/** Reads a file that a person has chosen. */
export async function readParcel(file: Blob): Promise<Parcel> {
  if (file.size > LARGEST) throw new Error("this file is larger than any conversation");
  return unpack(await file.text());
}

/** Reads a text of `pack`. Everything in it is checked; the conversation gets an id of its own. */
export function unpack(text: string): Parcel {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new Error("this file is not JSON, or it was cut off; choose one that Export has written");
  }
  if (!isRecord(file) || file.format !== FORMAT) {
    throw new Error("this file is not a conversation; choose one that Export has written");
  }
  checkDepth(file);
  checkVersion(file);
  if (!isRecord(file.conversation)) throw new Error("this file holds no conversation");
  const { title, created, updated, model, system, turns, leaf } = file.conversation;
  if (!Array.isArray(turns)) throw new Error("this conversation has no messages");
  const checked = turns.map(turnFrom);
  checkTree(checked);
  const conversation: Conversation = {
    id: newId(),
    title: textOr(title, "Imported chat").slice(0, 200),
    created: numberOr(created, Date.now()),
    updated: numberOr(updated, Date.now()),
    model: textOr(model, ""),
    system: textOr(system, ""),
    turns: checked,
    leaf: checked.some(({ id }) => id === leaf) ? (leaf as string) : (checked.at(-1)?.id ?? null),
  };
  const energies = Array.isArray(file.energies) ? file.energies.map(readCosts) : [];
  return {
    conversation,
    state: typeof file.state === "string" ? bytesOf(file.state) : undefined,
    costs: new Map(energies.map(({ answer, costs }) => [answer, costs])),
  };
}

/** The hash walks through all of it, so nothing may be deeper than a walk can go. */
function checkDepth(file: object): void {
  let level = [file];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEEPEST) throw new Error("this file is nested deeper than any conversation");
    const values = level.flatMap((one) => Object.values(one) as unknown[]);
    level = values.filter((value) => typeof value === "object" && value !== null);
  }
}

function checkVersion({ version, sha256, conversation, state, energies }: Record<string, unknown>): void {
  if (version === 1) return;
  if (typeof version !== "number" || version < 1) {
    throw new Error(`this conversation's version is ${String(version)}, which is none`);
  }
  if (version > VERSION) {
    throw new Error(
      `this conversation is of version ${version}, and this page reads up to ${VERSION}; load the page again to get a newer one`,
    );
  }
  const content = version === 2 ? { conversation, state } : { conversation, state, energies };
  if (sha256 !== hashOf(content)) {
    throw new Error("this file was damaged or changed since it was exported: its sha-256 is another one");
  }
}

/** Every message follows one that is there, and none follows itself. */
function checkTree(turns: readonly Turn[]): void {
  const parents = new Map(turns.map(({ id, parent }) => [id, parent]));
  if (parents.size < turns.length) throw new Error("two messages have the same id");
  const rooted = new Set<string>();
  for (const { id } of turns) {
    const way = new Set<string>();
    for (let at: string | null = id; at !== null && !rooted.has(at); ) {
      if (way.has(at)) throw new Error(`message ${at} follows itself`);
      way.add(at);
      const parent = parents.get(at);
      if (parent === undefined) throw new Error(`message ${[...way].at(-2)} follows one that is not in the file`);
      at = parent;
    }
    for (const at of way) rooted.add(at);
  }
}

function turnFrom(value: unknown, index: number): Turn {
  const wrong = (what: string) => new Error(`message ${index + 1} of this conversation ${what}`);
  if (!isRecord(value)) throw wrong("is not an object");
  const { id, parent, role, content, created, marks, took, unfinished } = value;
  if (typeof id !== "string") throw wrong("has no id");
  if (parent !== null && typeof parent !== "string") throw wrong("does not say what it follows");
  if (role !== "user" && role !== "assistant") throw wrong("is neither the user's nor the assistant's");
  if (typeof content !== "string") throw wrong("has no text");
  const turn: Turn = { id, parent, role, content, created: numberOr(created, Date.now()) };
  if (Array.isArray(marks) && marks.every(isMark)) turn.marks = marks;
  if (isTook(took)) turn.took = took;
  if (unfinished === true) turn.unfinished = true;
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
