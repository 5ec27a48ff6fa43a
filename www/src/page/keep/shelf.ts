// Where conversations lie: what every kind of storage does.
import type { Conversation, Head, Turn } from "../conversation";

/** The engine's state at the end of a turn. */
export interface KeptState {
  /** The conversation. */
  id: string;
  /** The turn that it has seen last. */
  leaf: string;
  model: string;
  bytes: Uint8Array;
  /** Milliseconds since 1970. */
  updated: number;
}

/** What every token of an answer took, packed: see costs.ts. */
export interface KeptCosts {
  /** The conversation. */
  id: string;
  /** The answer. */
  turn: string;
  bytes: Uint8Array;
  /** Milliseconds since 1970. */
  updated: number;
}

/** Somebody deleted the conversation, here or in another tab: nothing more is kept of it. */
export class GoneError extends Error {
  constructor() {
    super("this conversation was deleted");
  }
}

/** Conversations, states and costs. */
export interface Shelf {
  /** Whether what is written outlives the page. */
  readonly lasting: boolean;
  list(): Promise<Head[]>;
  get(id: string): Promise<Conversation | undefined>;
  /** Keeps the head of a conversation and these of its turns, all or nothing. Fails with `GoneError` where it was deleted. */
  put(chat: Conversation, turns: readonly Turn[]): Promise<void>;
  /** Takes turns back that led to nothing; a conversation without any goes with them. */
  retract(chat: Conversation, turns: readonly string[]): Promise<void>;
  /** Forgets a conversation, for good. */
  remove(id: string): Promise<void>;
  state(id: string, leaf: string): Promise<KeptState | undefined>;
  /** Keeps a state; old ones go. */
  putState(state: KeptState): Promise<void>;
  costs(id: string, turn: string): Promise<KeptCosts | undefined>;
  /** Keeps the costs of an answer; old ones go. */
  putCosts(costs: KeptCosts): Promise<void>;
}

/** Bytes that all states may take, and all costs: with more, the oldest go. */
export const ROOM = 64 << 20;

/** How many things of this size have room; the newest few have it in any case. */
export function places(bytes: number): number {
  return Math.min(1000, Math.max(4, Math.floor(ROOM / Math.max(1, bytes))));
}
