// Fetches the metrics.json of a model on any server. The page's own policy lets it ask no other; a worker follows the headers it
// was served with, as the engine's does.

/** What the page is told: what the file says, or why nothing is known. */
export type Answer = { json: unknown } | { problem: string };

/** The largest file that is read, in bytes: a hundred times what the trainer writes. */
const MOST = 1 << 20;

/** Milliseconds. */
const PATIENCE = 10_000;

async function read(url: string): Promise<Answer> {
  try {
    const response = await fetch(url, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE) });
    if (response.status === 404) return { problem: "it has no metrics.json" };
    if (!response.ok) return { problem: `the server answers ${response.status} when asked for its metrics.json` };
    return { json: JSON.parse(await textOf(response)) };
  } catch (error) {
    return { problem: `its metrics.json could not be read (${error instanceof Error ? error.message : error})` };
  }
}

/** The whole text, unless it is too large. */
async function textOf({ body }: Response): Promise<string> {
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  // Not every browser can iterate over a stream.
  const reader = body?.getReader();
  for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
    bytes += part.value.length;
    if (bytes > MOST) {
      void reader?.cancel();
      throw new Error("it is larger than 1 MiB");
    }
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}

addEventListener("message", ({ data }: MessageEvent<string>) => {
  void read(data).then((answer) => postMessage(answer));
});
