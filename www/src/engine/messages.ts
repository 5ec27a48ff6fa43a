// Everything that page and engine say to each other.
import type {
  Backend,
  BackendChoice,
  ChatEvent,
  ChatOptions,
  ChatReply,
  Measurement,
  Message,
  ModelInfo,
} from "../../pkg/mar";

export type { Backend, BackendChoice, ChatEvent, ChatOptions, ChatReply, Measurement, Message, ModelInfo };

/** A model that is ready. */
export interface Ready {
  info: ModelInfo;
  backend: BackendChoice;
}

/** How much of the weights has come, in bytes. */
export interface Progress {
  received: number;
  total: number;
}

/** From the page to the engine. All but `stop` are jobs: the engine does one at a time. */
export type ToEngine =
  | { type: "load"; url: string; backend: Backend }
  | { type: "chat"; messages: Message[]; options: ChatOptions }
  | { type: "measure"; prompt: number; tokens: number }
  | { type: "stop" };

/** From the engine to the page. `ready`, `reply`, `measured` and `failed` end a job. */
export type FromEngine =
  | { type: "progress"; progress: Progress }
  | { type: "chat-event"; event: ChatEvent }
  | { type: "ready"; ready: Ready }
  | { type: "reply"; reply: ChatReply }
  | { type: "measured"; measurement: Measurement }
  | { type: "failed"; message: string };
