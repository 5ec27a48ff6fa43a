// What the tour says, and what it shows while it does.
import type { Shape } from "../mar/types";
import type { PanelName } from "../page/instruments";
import { memoryToy } from "./memory";
import { neuronToy } from "./neuron";
import { rowsToy } from "./rows";

/** One step. */
export interface Step {
  title: string;
  /** Paragraphs. */
  text: readonly string[];
  /** The instrument that it points at; none where it is the chat. */
  panel?: PanelName;
  /** Something to play with; nothing where it needs a network and none is loaded. */
  toy?: (shape: Shape | undefined) => HTMLElement | undefined;
  /** Something for the live page to do: its button, and what is said to the network. */
  ask?: { label: string; text: string };
}

/** The tour, in plain words. */
export const STEPS: readonly Step[] = [
  {
    title: "A network that answers in spikes",
    text: [
      "You write, it reads your words token by token, a token being a word or a piece of one, and then says the next token, and the next.",
      "Before each of its weight matrices sit neurons that fire, or stay silent; nothing else gets through. Ask it something, and the instruments come alive.",
    ],
    ask: { label: "Say hello to it", text: "Hello! How are you today?" },
  },
  {
    title: "What a spike is",
    text: [
      "Each tick is one neuron firing once: orange is +1, blue is −1. From left to right are the tokens, and within a token a few micro-steps. Each row is a neuron.",
      "Most of the picture is empty. That silence is the point: it costs nothing. Click a word of an answer to see the spikes that made it.",
    ],
    panel: "raster",
    ask: { label: "Make more spikes", text: "What is your name?" },
  },
  {
    title: "The neuron",
    text: [
      "A current comes in at the first micro-step. Where it reaches the threshold V, the neuron fires and V is taken away; then what is left is compared again. Drag the dashed line, or the sliders, and watch it fire.",
      "Training has given every neuron a threshold of its own.",
    ],
    toy: () => neuronToy(),
  },
  {
    title: "Why three values",
    text: [
      "A spike is −1, 0 or +1. Multiplying a weight by one of these is no multiplication at all: the weight is subtracted, skipped, or added. Addition takes about a fifth of the energy of a multiplication with addition, by the usual estimate for 32-bit numbers.",
      "Neurons in most spiking networks know only 0 and 1. With −1 a neuron can also say “the opposite”, which the paper found to be worth much in quality. Try it: push the current below zero.",
    ],
    toy: () => neuronToy(),
  },
  {
    title: "Only the rows that fired are read",
    text: [
      "Behind each neuron is a row of weights. Rows of silent neurons are not even fetched from memory. Press the inputs to make them fire.",
      "The firing map shows how many of the real neurons fired, layer by layer, at the four places where this happens. Click a cell to see its spikes.",
    ],
    panel: "map",
    toy: () => rowsToy(),
  },
  {
    title: "A memory that does not grow",
    text: [
      "A transformer keeps something of every token and looks at all of it again for each new one. This network keeps a state of fixed size: every token fades it a little and adds to it. That is the scan of a state space model, Mamba-2.",
      "It never runs out of room. The price is that it forgets.",
    ],
    panel: "speed",
    toy: (shape) => shape && memoryToy(shape),
  },
  {
    title: "Where the joules go",
    text: [
      "Every addition and multiplication is counted as it happens, then priced. The bars compare this network with the same network without spikes, and with a transformer of its size.",
      "Switch to “with data movement”: fetching weights from memory costs far more than arithmetic does, and the advantage changes. Where spiking loses, the panel says so.",
    ],
    panel: "energy",
  },
  {
    title: "What is measured, and what is estimated",
    text: [
      "Measured: times, tokens per second, bytes, and the number of spikes. Estimated: all joules. They are counts times published prices of a 45 nm chip; no browser can measure joules, and your processor is not that chip.",
      "Now turn the dials: a higher threshold means fewer spikes, less energy, and worse words. Find the point where it begins to babble.",
    ],
    panel: "dial",
    ask: { label: "Ask again", text: "What do you like to eat?" },
  },
];
