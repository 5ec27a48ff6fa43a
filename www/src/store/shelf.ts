// What every place where chunks are kept can do.
import type { Keeper } from "../mar/types";
import type { Bytes, Chunk } from "./plan";

/** One model's place. */
export interface Shelf {
  /** What lies there, right or not; `undefined` where nothing does. */
  read(chunk: Chunk): Promise<Bytes | undefined>;
  /** Keeps a chunk: it is there for good when this returns. */
  write(chunk: Chunk, bytes: Bytes): Promise<void>;
  /** Lets others have it. */
  close(): void;
}

/** One model's place while it is loaded. */
export interface OpenShelf extends Shelf {
  /** Whether somebody else writes there: then it is to read only. */
  busy: boolean;
  /** Whether something can lie there, without reading it. */
  holds(chunk: Chunk): boolean;
}

/** All models' places of one kind. */
export interface Shelves {
  readonly keeper: Keeper;
  /** A model's place: to write too, unless somebody else does. */
  open(id: string): Promise<OpenShelf>;
  /** A model's place, to read. */
  look(id: string): Promise<Shelf>;
  /** Frees the place. */
  remove(id: string): Promise<void>;
}
