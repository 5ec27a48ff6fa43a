// The keyboard's way through the raster.

/** What keys may do. */
export interface Keys {
  /** Moves the read-out by micro-steps and neurons; `far` by whole tokens and tenths of the neurons. */
  walk(time: number, neurons: number, far: boolean): void;
  /** Goes to the first token or the last. */
  end(which: "first" | "last"): void;
  zoom(timeFactor: number, neuronFactor: number): void;
  whole(): void;
  pause(): void;
  /** Shows the membrane of the neuron that is read out. */
  choose(): void;
  /** Selects the neurons up to the one that is read out. */
  extend(): void;
  unselect(): void;
}

/** How much a key zooms. */
const FACTOR = 0.7;

/** All of it in words. */
export const HELP =
  "Arrows move the read-out, with Shift by a whole token or a tenth of the neurons; Enter shows the neuron's membrane. " +
  "+ and − zoom in time, “.” and “,” in neurons, 0 shows the whole, space pauses; S selects up to this neuron, Escape nothing. " +
  "Wheel: time; with Shift, or on the neuron axis: neurons; with Ctrl: both. Drag moves; on the neuron axis, or with Shift, it selects.";

/** Listens at `canvas` as long as it exists. */
export function listenToKeys(canvas: HTMLCanvasElement, keys: Keys): void {
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey;
    const acts: Record<string, () => void> = {
      ArrowLeft: () => keys.walk(-1, 0, far),
      ArrowRight: () => keys.walk(1, 0, far),
      ArrowUp: () => keys.walk(0, 1, far),
      ArrowDown: () => keys.walk(0, -1, far),
      PageUp: () => keys.walk(0, 1, true),
      PageDown: () => keys.walk(0, -1, true),
      Home: () => keys.end("first"),
      End: () => keys.end("last"),
      "+": () => keys.zoom(FACTOR, 1),
      "=": () => keys.zoom(FACTOR, 1),
      "-": () => keys.zoom(1 / FACTOR, 1),
      ".": () => keys.zoom(1, FACTOR),
      ",": () => keys.zoom(1, 1 / FACTOR),
      "0": () => keys.whole(),
      " ": () => keys.pause(),
      Enter: () => keys.choose(),
      s: () => keys.extend(),
      S: () => keys.extend(),
      Escape: () => keys.unselect(),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
