import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { sha256 } from "./digest";
import { Download } from "./download";
import { type Asked, type FakeModel, FakeServer, type Fault, FOLDER, fakeModel } from "./fakes";
import { type Bytes, CHUNK_BYTES, type Chunk } from "./plan";

let model: FakeModel;
let server: FakeServer;

beforeEach(async () => {
  model = await fakeModel();
  server = new FakeServer(model.files);
  vi.stubGlobal("fetch", server.fetch);
});
afterEach(() => vi.unstubAllGlobals());

/** Downloads what is not `here`; returns the files put together, and what was kept. */
async function load(
  here: (chunk: Chunk) => boolean = () => false,
  onTaken: (n: number, d: Download) => void | Promise<void> = () => {},
) {
  const kept: number[] = [];
  const meter = { came: 0, checked: 0 };
  const waits: number[] = [];
  const download = new Download(
    {
      folder: FOLDER,
      chunks: model.chunks,
      cache: "no-store",
      digest: sha256,
      keep: async ({ number }) => void kept.push(number),
      meter: {
        came(bytes) {
          meter.came += bytes;
        },
        checked(bytes) {
          meter.checked += bytes;
        },
      },
      wait: async (milliseconds) => void waits.push(milliseconds),
    },
    here,
  );
  const taken = new Map<number, Bytes>();
  try {
    for (const chunk of model.chunks) {
      download.reach(chunk);
      if (!here(chunk)) taken.set(chunk.number, await download.take(chunk));
      await onTaken(chunk.number, download);
    }
  } finally {
    download.close();
  }
  return { taken, kept: kept.sort((a, b) => a - b), meter, waits };
}

/** That every chunk is what the file has there. */
function expectRight(taken: Map<number, Bytes>, numbers = model.chunks.map(({ number }) => number)): void {
  expect([...taken.keys()]).toEqual(numbers);
  for (const [number, bytes] of taken) {
    const { file, at, bytes: size } = model.chunks[number] as Chunk;
    expect(
      Buffer.compare(bytes, model.files.get(file)?.subarray(at, at + size) ?? Buffer.of()),
      `chunk ${number}`,
    ).toBe(0);
  }
}

describe("a server with ranges", () => {
  it("sends every byte once, a few at a time", async () => {
    const { taken, kept, meter } = await load();
    expectRight(taken);
    expect(kept).toEqual(model.chunks.map(({ number }) => number));
    expect(server.twice).toBe(0);
    expect(meter.came).toBe(meter.checked);
    const parts = server.asked.filter(({ file }) => file === "model.safetensors.00").map(({ range }) => range);
    expect(parts).toEqual([
      [0, 4 * CHUNK_BYTES - 1],
      [4 * CHUNK_BYTES, 6 * CHUNK_BYTES - 1],
    ]);
  });

  it("is asked for nothing that is here", async () => {
    const { taken } = await load(({ number }) => number % 2 === 0);
    expectRight(
      taken,
      model.chunks.map(({ number }) => number).filter((number) => number % 2 === 1),
    );
    expect(server.twice).toBe(0);
    expect(server.bytes).toBe([...taken.values()].reduce((sum, { length }) => sum + length, 0));
  });

  it.each([
    ["an error", false],
    ["a quiet end", true],
  ])("goes on at the very byte after %s", async (_, quietly) => {
    server.fault = ({ time, range }) => (range && time < 5 ? { cutAfter: 300_000 + time, quietly } : {});
    const { taken, meter } = await load();
    expectRight(taken);
    expect(server.twice).toBe(0);
    expect(meter.came).toBe(meter.checked);
  });

  it("is asked again for what came wrong, and for no more", async () => {
    server.fault = ({ file, time }) => (file.endsWith(".00") && time === 0 ? { damage: CHUNK_BYTES + 5 } : {});
    const { taken, meter, kept } = await load();
    expectRight(taken);
    expect(server.twice).toBe(CHUNK_BYTES);
    expect(kept.filter((number) => model.chunks[number]?.file.endsWith(".00"))).toHaveLength(6);
    expect(meter.came).toBe(meter.checked);
  });

  it("that is away for a while is waited for, longer each time", async () => {
    server.fault = ({ file, time }) => (file.endsWith(".01") && time < 5 ? { away: true } : {});
    const { taken, waits } = await load();
    expectRight(taken);
    expect(waits).toEqual([250, 500, 1000, 2000, 4000]);
  });

  it.each([503, 429])("that answers %i is asked again", async (status) => {
    server.fault = ({ time }) => (time === 0 ? { status } : {});
    expectRight((await load()).taken);
  });

  it("is not hurried: at most 16 chunks lie before the reader", async () => {
    model = await fakeModel([30, 2]);
    server = new FakeServer(model.files);
    vi.stubGlobal("fetch", server.fetch);
    let furthest = 0;
    const { taken } = await load(undefined, (number) => {
      const reached = Math.max(
        ...server.asked.map(({ range, file }) => (file.endsWith(".00") ? (range?.[1] ?? 0) : 0)),
      );
      furthest = Math.max(furthest, (reached + 1) / CHUNK_BYTES + 2 - number);
    });
    expectRight(taken);
    expect(furthest).toBeLessThanOrEqual(17);
    expect(furthest).toBeGreaterThan(8);
    expect(server.twice).toBe(0);
  });

  it("is left alone while the load is paused, and then goes on without a byte twice", async () => {
    server.fault = ({ time, range }) => (range && time === 0 ? { hangAfter: 2 * CHUNK_BYTES + 1000 } : {});
    const asked: number[] = [];
    const { taken } = await load(undefined, async (number, download) => {
      if (number !== 2) return;
      download.paused = true;
      asked.push(server.asked.length);
      for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      asked.push(server.asked.length);
      download.paused = false;
    });
    expectRight(taken);
    expect(asked[0]).toBe(asked[1]);
    expect(server.asked.length).toBeGreaterThan(asked[1] ?? 0);
    // What a connection holds when it is ended may be lost: a part of 64 KiB in each of them, and one on its way.
    expect(server.twice).toBeLessThanOrEqual(3 * 2 * 65_536);
  });
});

describe("a server without ranges", () => {
  beforeEach(() => {
    server.fault = () => ({ noRanges: true });
  });

  it("sends every file once", async () => {
    const { taken, meter } = await load();
    expectRight(taken);
    expect(server.twice).toBe(0);
    expect(server.asked.map(({ file }) => file)).toEqual([...model.files.keys()]);
    expect(meter.came).toBe(meter.checked);
  });

  it("sends a file again after a cut, and what was there is not kept twice", async () => {
    server.fault = ({ file, time }) => {
      return { noRanges: true, ...(file.endsWith(".00") && time === 0 && { cutAfter: 2.5 * CHUNK_BYTES }) };
    };
    const { taken, kept, meter } = await load();
    expectRight(taken);
    expect(server.twice).toBe(2.5 * CHUNK_BYTES);
    expect(kept).toEqual(model.chunks.map(({ number }) => number));
    expect(meter.came).toBe(meter.checked);
  });

  it("may stop knowing them in the middle", async () => {
    server.fault = ({ file, time }) => ({ noRanges: file.endsWith(".00") && time > 0 });
    expectRight((await load()).taken);
  });

  it("gives the middle of a file too", async () => {
    const { taken } = await load(({ number }) => number !== 5);
    expectRight(taken, [5]);
  });
});

describe("what cannot be had fails with a sentence:", () => {
  it.each<[string, (asked: Asked) => Fault, string, number]>([
    [
      "a file that is not there",
      ({ file }) => (file.endsWith(".01") ? { status: 404 } : {}),
      "model.safetensors.01 is not there",
      1,
    ],
    [
      "a file that is denied",
      ({ file }) => (file.endsWith(".01") ? { status: 403 } : {}),
      "the server answers 403 Trouble",
      1,
    ],
    [
      "a server that stays away",
      ({ file }) => (file.endsWith(".01") ? { away: true } : {}),
      "cannot fetch https://models.test/one/model.safetensors.01: Failed to fetch",
      7,
    ],
    [
      "a chunk that is never right",
      ({ file }) => (file.endsWith(".01") ? { damage: CHUNK_BYTES } : {}),
      "model.safetensors.01: chunk 1 has sha-256",
      3,
    ],
  ])("%s", async (_, fault, says, times) => {
    server.fault = fault;
    await expect(load()).rejects.toThrow(says);
    expect(server.asked.filter(({ file }) => file.endsWith(".01"))).toHaveLength(times);
  });

  it("a file that is too short", async () => {
    const piece = model.files.get("model.safetensors.01") as Bytes;
    model.files.set("model.safetensors.01", piece.slice(0, 1000));
    await expect(load()).rejects.toThrow(`model.safetensors.01: 1000 bytes came, expected ${piece.length}`);
  });
});
