// A server of dist/ that knows ranges, does wrong what it is told to, and counts what it sends.
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const DIST = join(__dirname, "../../dist");

const TYPES: Record<string, string> = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

/** A request for a file of a model. */
export interface Asked {
  /** As `mar-smalltalk/config.json`. */
  file: string;
  /** The first byte, where a range was asked for. */
  from: number | undefined;
  /** Requests for this file before. */
  time: number;
}

/** How an answer goes wrong. */
export interface Fault {
  status?: number;
  noRanges?: boolean;
  /** Cuts the connection after so many bytes. */
  cutAfter?: number;
  /** Sends nothing more after so many bytes. */
  hangAfter?: number;
  /** Changes the byte of the file at this place. */
  damage?: number;
  /** Says that the file has so many bytes. */
  pretend?: number;
}

/** It stops when the test ends, if the test closes it. */
export class FaultyServer {
  /** Requests for files of models, in order. */
  readonly asked: Asked[] = [];
  /** By file of a model, bytes sent. */
  readonly sent = new Map<string, number>();
  fault: (asked: Asked) => Fault = () => ({});
  /** Files that are other than in dist/, by their path in it. */
  readonly instead = new Map<string, Buffer>();
  /** Answers nobody any more. */
  down = false;
  readonly #server = createServer((request, response) => this.#answer(request, response));
  /** Its address: a folder below the root. */
  url = "";

  static async start(): Promise<FaultyServer> {
    const server = new FaultyServer();
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    server.url = `http://127.0.0.1:${(server.#server.address() as AddressInfo).port}/some/folder/`;
    return server;
  }

  close(): void {
    this.#server.close();
    this.cut();
  }

  /** Cuts every connection. */
  cut(): void {
    this.#server.closeAllConnections();
  }

  /** Sends a file of dist/assets otherwise than it is. `name` is the beginning of its name. */
  change(name: string, change: (text: string) => string): void {
    const file = readdirSync(join(DIST, "assets")).find((one) => one.startsWith(name));
    if (file === undefined) throw new Error(`there is no dist/assets/${name}`);
    const text = readFileSync(join(DIST, "assets", file), "utf8");
    this.instead.set(`assets/${file}`, Buffer.from(change(text)));
  }

  /** Forgets what was asked for and sent. */
  forget(): void {
    this.asked.length = 0;
    this.sent.clear();
  }

  /** The first bytes of the ranges that were asked of a file. */
  ranges(file: string): (number | undefined)[] {
    return this.asked.filter((one) => one.file === file).map(({ from }) => from);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    if (this.down) {
      request.socket.destroy();
      return;
    }
    const path = normalize(new URL(request.url ?? "/", this.url).pathname).replace(/^\/some\/folder\//, "");
    const name = path === "" ? "index.html" : path;
    const body = this.#file(name);
    const headers: Record<string, string> = {
      "content-type": TYPES[extname(name)] ?? "application/octet-stream",
      "cache-control": "no-cache",
    };
    const file = /^models\/(.+\/.+)$/.exec(name)?.[1];
    if (!body || !request.url?.startsWith("/some/folder/")) {
      response.writeHead(404).end();
    } else if (file === undefined) {
      response.writeHead(200, headers).end(body);
    } else {
      this.#send(file, body, headers, request.headers.range, response);
    }
  }

  #file(name: string): Buffer | undefined {
    const instead = this.instead.get(name);
    if (instead) return instead;
    try {
      return readFileSync(join(DIST, name));
    } catch {
      return undefined;
    }
  }

  #send(
    file: string,
    whole: Buffer,
    headers: Record<string, string>,
    range: string | undefined,
    response: ServerResponse,
  ): void {
    const told = /^bytes=(\d+)-(\d+)$/.exec(range ?? "");
    const asked = { file, from: told ? Number(told[1]) : undefined, time: this.ranges(file).length };
    this.asked.push(asked);
    const { status, noRanges, cutAfter, hangAfter, damage, pretend } = this.fault(asked);
    if (status !== undefined) {
      response.writeHead(status).end();
      return;
    }
    const ranged = told !== null && noRanges !== true;
    const [from, end] = ranged ? [Number(told[1]), Math.min(Number(told[2]) + 1, whole.length)] : [0, whole.length];
    const body = Buffer.from(whole.subarray(from, end));
    if (damage !== undefined && damage >= from && damage < end) body[damage - from] = (body[damage - from] ?? 0) ^ 1;
    const size = pretend ?? whole.length;
    response.writeHead(ranged ? 206 : 200, {
      ...headers,
      "content-length": ranged ? body.length : size,
      ...(ranged && { "content-range": `bytes ${from}-${end - 1}/${size}` }),
    });
    const sent = body.subarray(0, cutAfter ?? hangAfter ?? body.length);
    this.sent.set(file, (this.sent.get(file) ?? 0) + sent.length);
    if (sent.length === body.length) response.end(sent);
    // Everything that was sent arrives before the end does.
    else response.write(sent, () => cutAfter !== undefined && response.socket?.end());
  }
}
