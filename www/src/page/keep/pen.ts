// Who writes a conversation: one tab of this browser, which holds its lock. A tab that dies lets go of it.

/** Tabs ask each other for a pen, and say when it may be taken. */
type Word = { type: "ask" | "ready"; id: string };

/** A tab that does not answer within this many milliseconds is not waited for. */
const PATIENCE = 3000;

/** What the holder is told. */
export interface PenEvents {
  /** The pen came, or went to another tab, since it was asked for. */
  onChange: () => void;
  /** Another tab wants to write: what is being written must be kept before this returns. */
  onAsked: () => Promise<void>;
}

/** The right to write one conversation at a time. */
export class Pen {
  readonly #events: PenEvents;
  readonly #channel = new BroadcastChannel("mar:pen");
  #id = "";
  #mine: boolean | undefined;
  /** Lets go of what is held or waited for. */
  #leave: () => void = () => {};
  #onReady: () => void = () => {};

  constructor(events: PenEvents) {
    this.#events = events;
    this.#channel.onmessage = ({ data }: MessageEvent<Word>) => void this.#hear(data);
  }

  /** Whether this tab may write the conversation that it took the pen for; `undefined` until that is known. */
  get mine(): boolean | undefined {
    return this.#mine;
  }

  /** Takes the pen of a conversation if nobody has it; else waits for it. Gives the one before away. Returns once `mine` is known. */
  async take(id: string): Promise<void> {
    this.#leave();
    this.#id = id;
    this.#mine = undefined;
    const away = new AbortController();
    this.#leave = () => away.abort();
    if (await this.#request(away.signal, { ifAvailable: true })) return;
    if (!away.signal.aborted) this.#mine = false;
    void this.#request(away.signal, {});
  }

  /** Writes here instead: the other tab keeps what it has, and reads from then on. */
  async claim(): Promise<void> {
    const id = this.#id;
    if (this.#mine) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, PATIENCE);
      this.#onReady = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#channel.postMessage({ type: "ask", id } satisfies Word);
    });
    if (id !== this.#id || this.#mine) return;
    this.#leave();
    const away = new AbortController();
    this.#leave = () => away.abort();
    await this.#request(away.signal, { steal: true });
  }

  async #hear({ type, id }: Word): Promise<void> {
    if (id !== this.#id) return;
    if (type === "ready") this.#onReady();
    if (type !== "ask" || !this.#mine) return;
    await this.#events.onAsked();
    this.#channel.postMessage({ type: "ready", id } satisfies Word);
  }

  /** Asks for the lock, and holds it until `away`. Returns when it is known whether it was given. */
  #request(away: AbortSignal, how: LockOptions): Promise<boolean> {
    return new Promise((known) => {
      const hold = async (lock: Lock | null): Promise<void> => {
        if (away.aborted || !lock) return known(false);
        this.#set(true);
        known(true);
        await new Promise((resolve) => away.addEventListener("abort", resolve, { once: true }));
      };
      // A signal ends waiting alone, and may not be given together with the other two.
      const waits = !how.ifAvailable && !how.steal;
      lock(nameOf(this.#id), waits ? { signal: away } : how, hold).catch(() => {
        // Left, or stolen: then another tab writes, and this one waits for it.
        known(false);
        if (away.aborted) return;
        this.#set(false);
        void this.#request(away, {});
      });
    });
  }

  #set(mine: boolean): void {
    const before = this.#mine;
    this.#mine = mine;
    if (before === !mine) this.#events.onChange();
  }
}

/** Whether some tab has the pen of a conversation. */
export async function isWritten(id: string): Promise<boolean> {
  const { held = [] } = (await (await usable())?.query()) ?? {};
  return held.some(({ name }) => name === nameOf(id));
}

function nameOf(id: string): string {
  return `mar:pen:${id}`;
}

/** Asks the browser for a lock. Where it has none to give, everybody writes, and the store unites what they wrote. */
async function lock(name: string, options: LockOptions, hold: (lock: Lock | null) => Promise<void>): Promise<void> {
  const locks = await usable();
  if (locks) await locks.request(name, options, hold);
  else await hold({ name, mode: "exclusive" });
}

let found: Promise<LockManager | undefined> | undefined;

/** The browser's locks: not on insecure addresses, nor where storage is denied. */
function usable(): Promise<LockManager | undefined> {
  found ??= (async () => {
    try {
      await navigator.locks.query();
      return navigator.locks;
    } catch {
      return undefined;
    }
  })();
  return found;
}
