// The conversation that is open: asking, answering, branching. Its state is here and nowhere else.
import type { Mar } from "../mar";
import { answer } from "./answering";
import type { Composer } from "./composer";
import {
  addTurn,
  adopt,
  adoptTurn,
  type Conversation,
  emptyConversation,
  messagesOf,
  pathOf,
  removeTurn,
  showBranch,
  siblingsOf,
  type Turn,
} from "./conversation";
import { EngineMemory } from "./engine-memory";
import { Keeper } from "./keep/keeper";
import { Pen } from "./keep/pen";
import { GoneError } from "./keep/shelf";
import type { News, Store } from "./keep/store";
import { sentence } from "./sentence";
import { chatOptions, type Settings } from "./settings";
import { say, showRate } from "./status";
import type { Transcript } from "./transcript";

/** Other tabs see an answer grow this often, in milliseconds. */
const SHOW_EVERY = 100;

const ENDS = { stop: "Done.", length: "The answer reached its longest length.", cancelled: "Stopped." } as const;

/** What others are told. */
export interface TalkEvents {
  /** What is shown or possible has changed. */
  onChange: () => void;
  /** An answer is about to begin, or to go on. */
  onBegin: (chat: Conversation, turn: Turn) => Promise<void>;
  /** It has ended, somehow. */
  onEnd: (chat: Conversation, turn: Turn) => void;
  /** An answer is whole: for screen readers. */
  onAnswer: (text: string) => void;
  /** The engine knows a conversation of before again. */
  onRecall: (path: Turn[]) => void;
  /** Another conversation is open: what the instruments show is of the one before. */
  onOpen: () => void;
}

/** The parts that it works with. */
export interface TalkParts {
  store: Store;
  settings: Settings;
  transcript: Transcript;
  composer: Composer;
}

/** What was asked, to be given back where nothing comes of it. */
interface Asked {
  question: Turn;
  /** The end of what was shown before. */
  before: string | null;
}

/** A conversation with an engine. */
export class Talk {
  chat: Conversation;
  #engine: Mar | undefined;
  /** When the answer that is made has ended. */
  #answering: Promise<void> | undefined;
  /** The answer that grows. */
  #growing: Turn | undefined;
  #shown = 0;
  /** Whether it is to end, also before the engine has begun. */
  #stopped = false;
  readonly #memory: EngineMemory;
  readonly #pen: Pen;
  readonly #keeper = new Keeper(() => this.#keep(this.#growing ? [this.#growing] : []));
  readonly #parts: TalkParts;
  readonly #events: TalkEvents;

  constructor(parts: TalkParts, events: TalkEvents) {
    this.#parts = parts;
    this.#events = events;
    this.#memory = new EngineMemory(parts.store);
    this.#pen = new Pen({
      onChange: () => void this.#onPen(),
      onAsked: () => this.halt(),
    });
    this.chat = emptyConversation(parts.settings.system);
    void this.#takePen();
    parts.store.onNews((news) => void this.#hear(news));
  }

  /** Whether an answer is being made. */
  get busy(): boolean {
    return this.#answering !== undefined;
  }

  /** Whether another tab writes this conversation. */
  get reads(): boolean {
    return this.#pen.mine === false;
  }

  /** The engine that answers; `undefined` while there is none. Returns once it knows the open conversation again. */
  async use(engine: Mar | undefined): Promise<void> {
    this.#engine = engine;
    this.#memory.use(engine);
    await this.#recall();
    this.#show();
  }

  /** Asks something at the end of the conversation. */
  async send(text: string): Promise<void> {
    await this.#ask(this.chat.leaf, text);
  }

  /** Asks something in the place of an earlier question: a branch. What both have in common is not computed again. */
  async edit(turn: Turn, text: string): Promise<void> {
    await this.#ask(turn.parent, text);
  }

  /** Another answer to the same question: a branch too. */
  async regenerate(turn: Turn): Promise<void> {
    const question = this.chat.turns.find(({ id }) => id === turn.parent);
    if (question) await this.#reply(question);
  }

  /** Answers the last question, where the answer was lost. */
  async resume(): Promise<void> {
    const last = pathOf(this.chat).at(-1);
    if (last?.role === "user") await this.#reply(last);
  }

  /** Goes on with an answer that was interrupted, or ended too early. */
  async goOn(turn: Turn): Promise<void> {
    if (!this.#free() || turn.id !== this.chat.leaf) return;
    await this.#begin(() => this.#grow(turn));
  }

  /** Shows the branch beside a turn's. */
  branch(turn: Turn, by: number): void {
    const siblings = siblingsOf(this.chat, turn);
    const next = siblings[siblings.indexOf(turn) + by];
    if (!next || this.busy) return;
    showBranch(this.chat, next);
    this.#show();
    // Whoever reads along looks around without a trace.
    if (this.#pen.mine) void this.#keep([]);
  }

  /** Ends the answer, with what there is of it. */
  stop(): void {
    this.#stopped = true;
    this.#engine?.stop();
  }

  /** Ends the answer that is made, and returns once what there is of it is kept. */
  async halt(): Promise<void> {
    if (!this.#answering) return;
    this.stop();
    await this.#answering;
  }

  /** Writes here from now on, and not in the other tab. */
  async claim(): Promise<void> {
    await this.#pen.claim();
  }

  /** Begins a new conversation; the one before is kept. */
  startOver(): void {
    if (this.busy) return;
    this.#open(emptyConversation(this.#parts.settings.system));
    void this.#takePen();
  }

  /** Goes on with a conversation. */
  async open(chat: Conversation): Promise<void> {
    if (this.busy) return;
    this.#open(chat);
    await this.#pen.take(chat.id);
    // Another tab may have written since it was read.
    if (!this.reads) await this.#refresh();
    await this.#recall();
    this.#show();
  }

  /** Says what the system prompt is from now on. */
  set system(text: string) {
    this.chat.system = text;
    if (this.chat.turns.length > 0 && this.#pen.mine) void this.#keep([]);
  }

  #open(chat: Conversation): void {
    this.chat = chat;
    this.#parts.transcript.clear();
    showRate(undefined);
    this.#events.onOpen();
    this.#show();
    this.#parts.transcript.follow();
  }

  async #takePen(): Promise<void> {
    await this.#pen.take(this.chat.id);
    this.#show();
  }

  /** Whether something can be asked now. */
  #free(): boolean {
    return !this.busy && this.#engine !== undefined && this.#pen.mine === true;
  }

  async #ask(parent: string | null, text: string): Promise<void> {
    if (!this.#free()) {
      this.#parts.composer.giveBack(text);
      return;
    }
    const before = this.chat.leaf;
    const question = addTurn(this.chat, parent, "user", text);
    await this.#begin(() => this.#answer({ question, before }, true));
  }

  async #reply(question: Turn): Promise<void> {
    if (!this.#free()) return;
    const before = this.chat.leaf;
    await this.#begin(() => this.#answer({ question, before }, false));
  }

  /** Does what makes the conversation longer; until it is done nothing else is begun. */
  async #begin(work: () => Promise<void>): Promise<void> {
    this.#stopped = false;
    // Begun a moment later, so that whoever looks sees that it is busy.
    this.#answering = Promise.resolve().then(work);
    this.#show();
    try {
      await this.#answering;
    } finally {
      this.#answering = undefined;
      this.#show();
      // Not from under the hands of somebody who is elsewhere by now.
      if (document.activeElement === document.body) this.#parts.composer.focus();
    }
  }

  /** Answers a question. Where nothing comes of it, what was `typed` is given back. */
  async #answer(asked: Asked, typed: boolean): Promise<void> {
    const { question, before } = asked;
    // First of all, what the person said is kept.
    if (typed && (await this.#keep([question]))) this.#parts.composer.settle();
    const turn = addTurn(this.chat, question.id, "assistant", "");
    turn.unfinished = true;
    this.#show();
    this.#parts.transcript.follow();
    await this.#grow(turn);
    if (!isNothing(turn)) return;
    // In this order: at every moment it is in one of the two places.
    if (typed) this.#parts.composer.giveBack(question.content);
    removeTurn(this.chat, turn, before);
    if (typed) removeTurn(this.chat, question, before);
    const gone = typed ? [turn, question] : [turn];
    await this.#parts.store.retract(this.chat, gone).catch(() => {});
  }

  /** Makes an answer longer, and keeps it while it grows. */
  async #grow(turn: Turn): Promise<void> {
    const { transcript, settings } = this.#parts;
    const { chat } = this;
    const engine = this.#engine;
    if (!engine) return;
    await this.#events.onBegin(chat, turn);
    say("Reading.");
    showRate(undefined);
    const messages = messagesOf(chat, turn.content === "" ? turn.parent : turn.id);
    await this.#memory.goNear(chat, turn.id);
    this.#memory.move(chat.id, turn.id);
    this.#growing = turn;
    chat.model = engine.shape.name;
    let begun = false;
    try {
      if (this.#stopped) throw new Error("it was stopped before it began");
      const reply = await answer(engine, messages, chatOptions(settings), turn, {
        onPrefill: (done, total) => say(`Reading: ${done} of ${total} tokens.`),
        onToken: (rate) => {
          if (!begun) say("Writing.");
          begun = true;
          showRate(rate);
          transcript.grow(turn.id);
          this.#keeper.touch();
          this.#showOthers(turn);
        },
      });
      say(ENDS[reply.finish_reason]);
      if (reply.text === "" && reply.finish_reason !== "cancelled") {
        say("The model ended its answer at once. Ask in another way, or regenerate.");
      }
      if (reply.text !== "") {
        showRate(reply.stats.decode_tokens_per_second);
        this.#events.onAnswer(reply.text);
      }
      // For scripts that read along.
      document.dispatchEvent(new CustomEvent("mar:reply", { detail: reply }));
    } catch (error) {
      this.#memory.move(chat.id, undefined);
      const what = turn.content === "" ? "There is no answer" : "The answer was interrupted";
      say(`${what}. ${sentence(error)}`, "trouble");
    } finally {
      this.#events.onEnd(chat, turn);
      await this.#keeper.flush();
      this.#growing = undefined;
      // What has come of it stays; after an answer that is taken back, what was kept before is better.
      if (!isNothing(turn) && (await this.#keep([turn]))) void this.#memory.keep(chat, turn.id);
    }
  }

  #showOthers(turn: Turn): void {
    const now = performance.now();
    if (now - this.#shown < SHOW_EVERY) return;
    this.#shown = now;
    this.#parts.store.show(this.chat.id, turn);
  }

  #show(): void {
    this.#parts.transcript.show(this.chat, { busy: !this.#free(), growing: this.busy || this.reads });
    this.#parts.composer.ready = this.#free();
    this.#parts.composer.replying = this.busy;
    this.#events.onChange();
  }

  /** Keeps the conversation's head and these turns. True where it is kept. */
  async #keep(turns: readonly Turn[]): Promise<boolean> {
    try {
      await this.#parts.store.keep(this.chat, turns);
      this.#events.onChange();
      return true;
    } catch (error) {
      if (error instanceof GoneError) this.stop();
      say(`This conversation could not be kept: ${sentence(error)} Export it, or delete others.`, "trouble");
      return false;
    }
  }

  /** The pen came, or went to another tab. */
  async #onPen(): Promise<void> {
    if (this.reads) {
      await this.halt();
      say("Another tab writes this conversation now.");
    } else if (this.chat.turns.length > 0) {
      await this.#refresh();
      await this.#recall();
    }
    this.#show();
  }

  /** Another tab has done something. */
  async #hear(news: News): Promise<void> {
    if (news.type === "removed" && news.id === this.chat.id) {
      await this.halt();
      this.startOver();
      say("This conversation was deleted in another tab.");
    } else if (news.id === this.chat.id && this.reads) {
      if (news.type === "grown") {
        adoptTurn(this.chat, news.turn);
        this.#show();
        this.#parts.transcript.grow(news.turn.id);
      } else await this.#refresh();
    }
    this.#events.onChange();
  }

  /** Takes over what is kept of the open conversation. */
  async #refresh(): Promise<void> {
    const { id } = this.chat;
    const kept = await this.#parts.store.get(id);
    if (!kept || this.chat.id !== id || this.busy) return;
    adopt(this.chat, kept);
    this.#show();
  }

  /** Gives the engine the state of the open conversation, where it was kept. */
  async #recall(): Promise<void> {
    const { chat } = this;
    const { leaf } = chat;
    if (!this.#engine || leaf === null || this.busy || this.reads) return;
    const place = this.#memory.placeIn(chat);
    if (place !== undefined) this.#events.onRecall(pathOf({ ...chat, leaf: place }));
    else if ((await this.#memory.goTo(chat, leaf)) && this.chat === chat && !this.busy) {
      this.#events.onRecall(pathOf({ ...chat, leaf }));
    }
  }
}

/** Whether nothing came of an answer: the model did not even say that it has nothing to say. */
function isNothing({ content, took, unfinished }: Turn): boolean {
  return content === "" && (unfinished === true || took?.finish_reason === "cancelled");
}
