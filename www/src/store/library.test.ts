import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Storing } from "../mar/types";
import { sha256 } from "./digest";
import { FakeCatalogue, type FakeModel, FakeServer, FakeShelves, FOLDER, fakeModel } from "./fakes";
import { type Entry, Library } from "./library";
import { Meter } from "./meter";
import type { Bytes, Chunk } from "./plan";
import { ChunkStream } from "./stream";

let model: FakeModel;
let server: FakeServer;
let catalogue: FakeCatalogue;
let shelves: FakeShelves;
let library: Library;
let quota: number;
let told: Storing[];

beforeEach(async () => {
  model = await fakeModel([3, 2]);
  server = new FakeServer(model.files);
  vi.stubGlobal("fetch", server.fetch);
  catalogue = new FakeCatalogue();
  shelves = new FakeShelves();
  quota = 100_000_000;
  library = new Library({ catalogue, shelves: [shelves], estimate: async () => ({ quota, usage: 0 }) });
  told = [];
});

function open(id = "a", of = model): Promise<Entry> {
  const { manifest, chunks } = of;
  return library.open({ id, url: FOLDER, manifest, chunks }, (storing) => told.push(storing));
}

/** Loads the model through an entry; returns the bytes that came from storage. `until`: stops before that chunk. */
async function load(entry: Entry, until?: number): Promise<number> {
  let stored = 0;
  const meter = new Meter(1, (progress) => {
    stored = progress.stored;
  });
  const { chunks, files } = model;
  const stream = new ChunkStream({ folder: FOLDER, chunks, entry, cache: "no-store", digest: sha256, meter });
  const seen: number[] = [];
  for await (const { chunk, bytes } of stream.pieces()) {
    const { file, at } = chunk;
    expect(Buffer.compare(bytes, files.get(file)?.subarray(at, at + bytes.length) ?? Buffer.of())).toBe(0);
    seen.push(chunk.number);
    if (chunk.number === until) break;
  }
  meter.tick();
  entry.close();
  if (until === undefined) expect(seen).toEqual(chunks.map(({ number }) => number));
  return stored;
}

function flip(bytes: Bytes | undefined): void {
  if (bytes) bytes[70] = (bytes[70] ?? 0) ^ 1;
}

const total = (): number => model.chunks.reduce((sum, { bytes }) => sum + bytes, 0);

describe("a model that was loaded", () => {
  it("is loaded without the network", async () => {
    expect(await load(await open())).toBe(0);
    server.fault = () => ({ away: true });
    expect(await load(await open())).toBe(total());
    expect(told).toEqual([
      { keeper: "opfs", full: false, why: "" },
      { keeper: "opfs", full: false, why: "" },
    ]);
    expect(await library.manifest("a", "")).toBe(model.manifest);
    expect(await library.manifest(undefined, FOLDER)).toBe(model.manifest);
  });

  it.each<[string, (chunks: Map<number, Bytes>) => void, number[]]>([
    ["a damaged chunk", (chunks) => flip(chunks.get(3)), [3]],
    ["two truncated chunks", (chunks) => [2, 4].map((n) => chunks.set(n, (chunks.get(n) as Bytes).slice(1))), [2, 4]],
    ["nothing left", (chunks) => chunks.clear(), [0, 1, 2, 3, 4, 5, 6]],
  ])("and has %s then is mended, and no more is fetched", async (_, spoil, bad) => {
    await load(await open());
    for (const counts of server.sent.values()) counts.fill(0);
    spoil(shelves.models.get("a") as Map<number, Bytes>);
    const size = bad.reduce((sum, n) => sum + (model.chunks[n] as Chunk).bytes, 0);
    expect(await load(await open())).toBe(total() - size);
    expect(server.bytes).toBe(size);
    server.fault = () => ({ away: true });
    expect(await load(await open())).toBe(total());
  });

  it("is verified, and what is damaged is no longer said to be there", async () => {
    await load(await open());
    const chunks = shelves.models.get("a") as Map<number, Bytes>;
    flip(chunks.get(3));
    chunks.delete(5);
    const steps: number[] = [];
    expect(await library.verify("a", sha256, (done) => steps.push(done))).toBe(2);
    expect(steps).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(await library.list()).toMatchObject([{ id: "a", url: FOLDER, chunks: 7, there: 5, bytes: total() }]);
    expect(await library.verify("a", sha256, () => {})).toBe(0);
  });

  it("takes the place of what lay in the same folder before", async () => {
    await load(await open("old"));
    await load(await open("new"));
    expect([...catalogue.models.keys()]).toEqual(["new"]);
    expect([...shelves.models.keys()]).toEqual(["new"]);
  });

  it("can be deleted", async () => {
    await load(await open());
    await library.remove("a");
    expect(await library.list()).toEqual([]);
    expect(shelves.models.size).toBe(0);
  });
});

describe("a load that was broken off", () => {
  it("goes on where it was", async () => {
    await load(await open(), 3);
    const there = catalogue.there.get("a") as Set<number>;
    expect(there.size).toBeGreaterThanOrEqual(4);
    const before = [...there].reduce((sum, n) => sum + (model.chunks[n] as Chunk).bytes, 0);
    expect(await load(await open())).toBe(before);
  });

  it("says of no chunk that it is there before it is", async () => {
    const write = vi.fn(async () => {
      throw new DOMException("gone", "InvalidStateError");
    });
    vi.spyOn(shelves, "open").mockImplementation(async (id) => ({
      ...(await shelves.look(id)),
      busy: false,
      holds: () => true,
      write,
    }));
    expect(await load(await open())).toBe(0);
    expect(await catalogue.chunks("a")).toEqual([]);
    expect(write).toHaveBeenCalledOnce();
    expect(told.at(-1)).toMatchObject({ keeper: "memory", full: false, why: expect.stringContaining("gone") });
  });
});

describe("where there is no room", () => {
  it("a model that does not fit is loaded without being kept", async () => {
    quota = 5_000_000;
    expect(await load(await open())).toBe(0);
    expect(told).toEqual([{ keeper: "memory", full: true, why: "the storage that this browser grants is full" }]);
    expect(await library.list()).toEqual([]);
  });

  it("one for which it ends in the middle is loaded, and what was kept is used", async () => {
    shelves.room = 2_500_000;
    await load(await open());
    expect(told.map(({ keeper, full }) => [keeper, full])).toEqual([
      ["opfs", false],
      ["memory", true],
    ]);
    expect(await load(await open())).toBeGreaterThan(2_000_000);
  });

  it("and none in the list either, one that is there is loaded from there, and what is damaged is mended", async () => {
    await load(await open());
    const full = async (): Promise<void> => {
      throw new DOMException("full", "QuotaExceededError");
    };
    vi.spyOn(catalogue, "put").mockImplementation(full);
    vi.spyOn(catalogue, "mark").mockImplementation(full);
    expect(await load(await open())).toBe(total());
    expect(told.at(-1)).toEqual({ keeper: "opfs", full: false, why: "" });
    flip(shelves.models.get("a")?.get(3));
    expect(await load(await open())).toBe(total() - (model.chunks[3] as Chunk).bytes);
    expect(await load(await open())).toBe(total());
    expect(told.map(({ keeper }) => keeper)).toEqual(Array.from({ length: 4 }, () => "opfs"));
  });

  it("in the list for a new one, it is loaded without being kept", async () => {
    vi.spyOn(catalogue, "put").mockRejectedValue(new DOMException("full", "QuotaExceededError"));
    expect(await load(await open())).toBe(0);
    expect(told).toEqual([{ keeper: "memory", full: true, why: "the storage that this browser grants is full" }]);
  });

  it("one that is there is loaded from there", async () => {
    await load(await open());
    quota = 0;
    server.fault = () => ({ away: true });
    expect(await load(await open())).toBe(total());
  });
});

it("two loads at once: one keeps the model, the other says so and loads it too", async () => {
  const [first, second] = [await open(), await open()];
  await Promise.all([load(first), load(second)]);
  expect(told.map(({ keeper }) => keeper)).toEqual(["opfs", "memory"]);
  expect(told[1]?.why).toBe("another tab is keeping the same model");
  server.fault = () => ({ away: true });
  expect(await load(await open())).toBe(total());
});
