// Chunks from a server: a few requests at once, gone on with after a cut, every chunk checked before anybody sees it.
import type { Digest } from "./digest";
import { type Bytes, CHUNK_BYTES, type Chunk } from "./plan";
import { FetchError, request, wrongLength } from "./request";

/** Requests at once. */
const LANES = 3;

/** Chunks that a request asks for at most. */
const RUN = 4;

/** How far beyond the reader chunks are fetched: what may be in memory. */
const WINDOW = 16;

/** Times that a chunk may come with a wrong hash. */
const WRONG = 3;

/** The wait before another try in milliseconds, doubled with every try up to the longest. */
const WAIT = { first: 250, longest: 4000 };

/** Without a byte for so long, in milliseconds, a connection is dead. */
const PATIENCE = 20_000;

/** What a download works with. */
export interface Parts {
  /** The folder's address, with a slash at its end. */
  folder: string;
  chunks: readonly Chunk[];
  cache: RequestCache;
  digest: Digest;
  /** Keeps a chunk that is right. */
  keep: (chunk: Chunk, bytes: Bytes) => Promise<void>;
  /** Told of bytes as they come, and of those that are right. */
  meter: { came(bytes: number): void; checked(bytes: number): void };
  /** Waits so many milliseconds, or until the signal. */
  wait?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** here: somebody else has it. missing: to be fetched. coming: a run's. ready: in memory. taken: the reader's. */
type State = "here" | "missing" | "coming" | "ready" | "taken";

/** Chunks of one file, fetched by one request if nothing happens. */
interface Run {
  file: string;
  /** The next chunk, and the end. */
  next: number;
  end: number;
  /** Bytes of the next chunk that are there, and where. */
  filled: number;
  buffer: Bytes | undefined;
  /** Whether it goes through the file from its first byte, past what is there. */
  whole: boolean;
  /** Whether the last request has brought something. */
  moved: boolean;
}

/** Fetches what is missing, in the order in which it will be read. */
export class Download {
  readonly #parts: Parts;
  readonly #state: State[];
  readonly #ready = new Map<number, Bytes>();
  /** How often a chunk came wrong. */
  readonly #wrong = new Map<number, number>();
  /** The files that a run goes through from their first byte. */
  readonly #wholes = new Set<string>();
  /** The chunk that is read next. */
  #cursor = 0;
  /** Whether the server knows ranges; `undefined` until it has answered one. */
  #ranges: boolean | undefined;
  /** The run that asks for the first range. */
  #probe: Run | undefined;
  #paused = false;
  #closed = false;
  #failure: { error: unknown } | undefined;
  /** Ends all requests. */
  #requests = new AbortController();
  /** Ends all waits for another try. */
  #waits = new AbortController();
  #changed = new Turn();

  /** `here` says which chunks need not be fetched. */
  constructor(parts: Parts, here: (chunk: Chunk) => boolean) {
    this.#parts = parts;
    this.#state = parts.chunks.map((chunk) => (here(chunk) ? "here" : "missing"));
    for (let lane = 0; lane < LANES; lane += 1) void this.#lane();
  }

  /** Says which chunk is read next, wherever it comes from. */
  reach(chunk: Chunk): void {
    this.#cursor = chunk.number;
    this.#stir();
  }

  /** Waits for a chunk, which then is the caller's. One that was here turns out to be missing. */
  async take(chunk: Chunk): Promise<Bytes> {
    const { number } = chunk;
    if (this.#state[number] === "here") this.#state[number] = "missing";
    this.reach(chunk);
    for (;;) {
      const bytes = this.#ready.get(number);
      if (bytes) {
        this.#ready.delete(number);
        this.#state[number] = "taken";
        return bytes;
      }
      if (this.#failure) throw this.#failure.error;
      await this.#changed.promise;
    }
  }

  /** Holds all requests, or lets them go on. */
  set paused(paused: boolean) {
    this.#paused = paused;
    if (paused) this.#interrupt();
    this.#stir();
  }

  /** Tries again at once what waits for its next try: the network is back. */
  hurry(): void {
    this.#waits.abort();
    this.#waits = new AbortController();
  }

  /** Ends everything. */
  close(): void {
    this.#closed = true;
    this.#interrupt();
    this.#stir();
  }

  #interrupt(): void {
    this.#requests.abort();
    this.#requests = new AbortController();
    this.hurry();
  }

  #stir(): void {
    const { done } = this.#changed;
    this.#changed = new Turn();
    done();
  }

  async #lane(): Promise<void> {
    while (!this.#closed) {
      const run = this.#pick();
      if (!run) {
        await this.#changed.promise;
        continue;
      }
      try {
        await this.#fetch(run);
      } catch (error) {
        this.#failure ??= { error };
        this.close();
      }
      this.#leave(run);
    }
  }

  /** The next chunks to fetch, which then are the caller's; `undefined` while there is nothing to do. */
  #pick(): Run | undefined {
    if (this.#paused) return undefined;
    const { chunks } = this.#parts;
    const reach = Math.min(chunks.length, this.#cursor + WINDOW);
    for (let next = this.#cursor; next < reach; next += 1) {
      const { file } = chunks[next] as Chunk;
      if (this.#state[next] !== "missing" || this.#wholes.has(file)) continue;
      let end = next;
      while (end < Math.min(reach, next + RUN) && chunks[end]?.file === file && this.#state[end] === "missing")
        end += 1;
      const run: Run = { file, next, end, filled: 0, buffer: undefined, whole: false, moved: false };
      if (this.#ranges === undefined && !this.#isAll(run)) {
        // A server without ranges answers with the whole file, and once is enough.
        if (this.#probe) continue;
        this.#probe = run;
      }
      for (let n = next; n < end; n += 1) this.#state[n] = "coming";
      return run;
    }
    return undefined;
  }

  /** Ends a run: what it did not fetch is anybody's. */
  #leave(run: Run): void {
    if (run === this.#probe) this.#probe = undefined;
    if (run.whole) this.#wholes.delete(run.file);
    for (let n = run.next; n < run.end; n += 1) if (this.#state[n] === "coming") this.#state[n] = "missing";
    this.#drop(run);
    run.end = run.next;
    this.#stir();
  }

  /** Whether a run is to fetch all of a file. */
  #isAll({ next, end, file }: Run): boolean {
    return this.#parts.chunks[next]?.index === 0 && this.#parts.chunks[end]?.file !== file;
  }

  /** Has a run go through its file from the first byte. */
  #goThrough(run: Run): void {
    const { chunks } = this.#parts;
    run.whole = true;
    this.#wholes.add(run.file);
    this.#drop(run);
    while (chunks[run.next - 1]?.file === run.file) run.next -= 1;
    while (chunks[run.end]?.file === run.file) run.end += 1;
  }

  /** Forgets the chunk of which only a part is there. */
  #drop(run: Run): void {
    this.#parts.meter.came(-run.filled);
    run.filled = 0;
    run.buffer = undefined;
  }

  /** Fetches a run, with as many requests as it takes. */
  async #fetch(run: Run): Promise<void> {
    let tries = 0;
    while (run.next < run.end && !this.#closed) {
      if (this.#paused) {
        await this.#changed.promise;
        continue;
      }
      run.moved = false;
      const { signal } = this.#requests;
      try {
        await this.#request(run, signal);
      } catch (error) {
        if (signal.aborted) continue;
        tries = run.moved ? 0 : tries + 1;
        if (!(error instanceof FetchError) || error.tries <= Math.max(tries, 1)) throw error;
        const pause = Math.min(WAIT.first * 2 ** Math.max(tries - 1, 0), WAIT.longest);
        await (this.#parts.wait ?? wait)(pause, this.#waits.signal);
      }
    }
  }

  /** One request, until the run is whole; throws where it is not. */
  async #request(run: Run, signal: AbortSignal): Promise<void> {
    const { chunks, folder, cache, meter } = this.#parts;
    if (this.#ranges === false && !run.whole && this.#wholes.has(run.file)) return this.#leave(run);
    // One that goes through the file begins again: nobody can send the rest alone.
    if (this.#ranges === false) this.#goThrough(run);
    const first = chunks[run.next] as Chunk;
    const last = chunks[run.end - 1] as Chunk;
    const from = first.at + run.filled;
    const to = last.at + last.bytes - 1;
    const bytes = sizeOf(chunks, first);
    const range = run.whole || (from === 0 && to === bytes - 1) ? undefined : { from, to };
    const url = folder + run.file;
    const fresh = this.#wrong.has(run.next) ? "reload" : cache;
    const answer = await request({ url, bytes, range, cache: fresh, signal, patience: PATIENCE });
    if (range) {
      this.#ranges = answer.ranged && answer.from === from;
      if (run === this.#probe) this.#probe = undefined;
      this.#stir();
      if (!this.#ranges) {
        const other = answer.ranged || this.#wholes.has(run.file);
        if (other) await answer.parts.return();
        if (answer.ranged) throw new FetchError(`${url}: the server sends other bytes than it is asked for`, "length");
        if (other) return this.#leave(run);
        this.#goThrough(run);
      }
    }
    let at = answer.from;
    for await (const part of answer.parts) {
      at += part.length;
      meter.came(part.length);
      if (await this.#fill(run, part)) return;
    }
    throw wrongLength(url, at, run.whole ? bytes : to + 1);
  }

  /** Puts bytes into chunks; `true` once the run is whole. */
  async #fill(run: Run, part: Uint8Array): Promise<boolean> {
    let bytes = part;
    while (bytes.length > 0 && run.next < run.end) {
      const chunk = this.#parts.chunks[run.next] as Chunk;
      const now = bytes.subarray(0, chunk.bytes - run.filled);
      bytes = bytes.subarray(now.length);
      run.buffer ??= new Uint8Array(chunk.bytes);
      run.buffer.set(now, run.filled);
      run.filled += now.length;
      // Where the rest cannot be asked for, only whole chunks count.
      run.moved ||= !run.whole;
      if (run.filled < chunk.bytes) return false;
      const whole = run.buffer;
      run.buffer = undefined;
      run.filled = 0;
      run.next += 1;
      await this.#deliver(run, chunk, whole);
    }
    // More than was asked for is nobody's.
    this.#parts.meter.came(-bytes.length);
    return run.next === run.end;
  }

  async #deliver(run: Run, chunk: Chunk, bytes: Bytes): Promise<void> {
    const { chunks, digest, keep, meter } = this.#parts;
    const { number } = chunk;
    const needed = (): boolean => this.#state[number] === "missing" || this.#state[number] === "coming";
    // One that goes through a file passes what is there.
    if (!needed()) return meter.came(-bytes.length);
    const found = await digest(bytes);
    if (found !== chunk.sha256) {
      meter.came(-bytes.length);
      const times = (this.#wrong.get(number) ?? 0) + 1;
      this.#wrong.set(number, times);
      this.#state[number] = "missing";
      if (times >= WRONG) throw wrongHash(chunk, found);
      return;
    }
    await keep(chunk, bytes);
    if (!needed()) return meter.came(-bytes.length);
    meter.checked(bytes.length);
    run.moved = true;
    this.#ready.set(number, bytes);
    this.#state[number] = "ready";
    this.#stir();
    while (number >= this.#cursor + WINDOW && !this.#closed && !this.#paused) {
      // The reader may wait for a chunk that lies behind: then it begins again.
      if (this.#state[this.#cursor] === "missing" && chunks[this.#cursor]?.file === run.file)
        throw new FetchError(`${run.file} is read again`, "length");
      await this.#changed.promise;
    }
  }
}

/** A promise that somebody else ends. */
class Turn {
  done: () => void = () => {};
  readonly promise = new Promise<void>((resolve) => {
    this.done = resolve;
  });
}

/** The bytes of the whole file that a chunk is of. */
function sizeOf(chunks: readonly Chunk[], { number, file }: Chunk): number {
  let last = number;
  while (chunks[last + 1]?.file === file) last += 1;
  const { index, bytes } = chunks[last] as Chunk;
  return index * CHUNK_BYTES + bytes;
}

function wrongHash({ file, index, sha256 }: Chunk, found: string): FetchError {
  const way = `it was fetched ${WRONG} times; the server has other bytes than the manifest says, so fetch the model from elsewhere`;
  return new FetchError(`${file}: chunk ${index} has sha-256 ${found}, expected ${sha256}; ${way}`, "final");
}

function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, milliseconds);
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    }
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
