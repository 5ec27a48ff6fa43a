// One request for a file, or for a range of its bytes.

/** Tries in a row that bring nothing new before a load fails. */
const TRIES = {
  /** What another try does not help. */
  final: 1,
  /** Files of another size may have been cut on the way. */
  length: 3,
  /** The network, or the server, is away: 12 seconds of waiting. */
  away: 7,
};

/** Why a file did not come. */
export class FetchError extends Error {
  /** After how many tries like this one it is given up. */
  readonly tries: number;

  constructor(message: string, kind: keyof typeof TRIES) {
    super(message);
    this.tries = TRIES[kind];
  }
}

/** What is asked for: bytes `from` … `to`, the last included, or the whole of a file of `bytes` bytes. */
export interface Ask {
  url: string;
  bytes: number;
  range: { from: number; to: number } | undefined;
  cache: RequestCache;
  signal: AbortSignal;
  /** Milliseconds in which at least a byte must come. */
  patience: number;
}

/** What comes: bytes of the file from `from` on. */
export interface Answer {
  from: number;
  /** Whether it is a range; else it is the whole file, whatever was asked for. */
  ranged: boolean;
  parts: AsyncGenerator<Uint8Array, void>;
}

/** Answers that say "later". */
const LATER = [408, 425, 429];

/** Asks a server. It may answer a range with the whole file. */
export async function request(ask: Ask): Promise<Answer> {
  const { url, range, signal } = ask;
  const connection = new AbortController();
  const abort = (): void => connection.abort(signal.reason);
  signal.addEventListener("abort", abort);
  const watch = new Stall(ask.patience, () => {
    connection.abort(new Error(`nothing came for ${ask.patience / 1000} seconds`));
  });
  const end = (): void => {
    watch.end();
    signal.removeEventListener("abort", abort);
  };
  try {
    signal.throwIfAborted();
    const headers: HeadersInit = range ? { range: `bytes=${range.from}-${range.to}` } : {};
    const response = await fetch(url, { headers, cache: ask.cache, signal: connection.signal });
    const from = begins(ask, response);
    if (!response.body) throw new FetchError(`${url} came without contents`, "length");
    return { from, ranged: response.status === 206, parts: parts(response.body, url, watch, end) };
  } catch (error) {
    end();
    connection.abort();
    throw error instanceof FetchError ? error : cannotFetch(url, error);
  }
}

/** The place in the file where an answer begins. */
function begins({ url, bytes, range }: Ask, { status, statusText, ok, headers }: Response): number {
  if (status === 404 || status === 410) throw new FetchError(`${url} is not there`, "final");
  if (!ok) {
    const kind = status >= 500 || LATER.includes(status) ? "away" : "final";
    throw new FetchError(`cannot fetch ${url}: the server answers ${status} ${statusText}`.trimEnd(), kind);
  }
  const length = (found: number): FetchError => wrongLength(url, found, bytes);
  if (status !== 206 || !range) {
    // What is compressed on the way does not tell the size of what comes out.
    const found = headers.get("content-length");
    if (found !== null && !headers.has("content-encoding") && Number(found) !== bytes) throw length(Number(found));
    return 0;
  }
  // Other origins may hide the header; then the hashes decide.
  const told = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
  if (!told) return range.from;
  if (told[2] !== "*" && Number(told[2]) !== bytes) throw length(Number(told[2]));
  return Number(told[1]);
}

/** A file that has another size than its manifest says. */
export function wrongLength(url: string, found: number, expected: number): FetchError {
  const file = url.slice(url.lastIndexOf("/") + 1);
  return new FetchError(`${file}: ${found} bytes came, expected ${expected}`, "length");
}

/** An error of `fetch` or of a stream as a sentence. */
export function cannotFetch(url: string, error: unknown): FetchError {
  return new FetchError(`cannot fetch ${url}: ${error instanceof Error ? error.message : error}`, "away");
}

/** What comes of an answer. Whoever stops asking for more ends it. */
async function* parts(
  body: ReadableStream<Uint8Array>,
  url: string,
  watch: Stall,
  end: () => void,
): AsyncGenerator<Uint8Array, void> {
  // Not every browser can iterate over a stream.
  const reader = body.getReader();
  try {
    for (;;) {
      watch.begin();
      const part = await reader.read();
      watch.end();
      if (part.done) return;
      yield part.value;
    }
  } catch (error) {
    throw cannotFetch(url, error);
  } finally {
    end();
    // It may have ended by itself, or failed: all the same.
    reader.cancel().catch(() => undefined);
  }
}

/** Notices that nothing comes. */
class Stall {
  readonly #patience: number;
  readonly #onStall: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(patience: number, onStall: () => void) {
    this.#patience = patience;
    this.#onStall = onStall;
    this.begin();
  }

  begin(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onStall, this.#patience);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
