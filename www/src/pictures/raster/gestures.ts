// Hands on the raster: wheel, drag, pinch and tap, told in CSS pixels of its canvas.

/** What hands may do. Places are in CSS pixels of the canvas. */
export interface Hands {
  /** Points at a place, or at none any more. */
  hover(x: number, y: number): void;
  leave(): void;
  pan(dx: number, dy: number): void;
  /** Sees `timeFactor` times as many micro-steps, `neuronFactor` times as many neurons. */
  zoom(timeFactor: number, neuronFactor: number, x: number, y: number): void;
  tap(x: number, y: number): void;
  /** Selects neurons between two heights. */
  select(fromY: number, toY: number): void;
  /** Whether a place is on the neuron axis. */
  onAxis(x: number): boolean;
}

/** A pointer that moved less than this tapped. */
const TAP = 4;
/** Pixels of wheel that double what is seen. */
const WHEEL_DOUBLE = 400;
/** Pixels of a line, and of a page, for wheels that count in those. */
const WHEEL_UNITS = [1, 16, 400];

interface Touch {
  x: number;
  y: number;
}

/** Listens at `canvas` as long as it exists. */
export function listen(canvas: HTMLCanvasElement, hands: Hands): void {
  const down = new Map<number, Touch>();
  let origin: (Touch & { selecting: boolean; moved: boolean }) | undefined;
  // A page that scrolls past the raster must go on scrolling: the wheel zooms only after the pointer itself has moved here.
  let armed = false;

  const at = (event: MouseEvent): Touch => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    const place = at(event);
    down.set(event.pointerId, place);
    origin = { ...place, selecting: event.shiftKey || hands.onAxis(place.x), moved: false };
  });

  canvas.addEventListener("pointermove", (event) => {
    if (event.movementX !== 0 || event.movementY !== 0) armed = true;
    const place = at(event);
    const before = down.get(event.pointerId);
    if (!before || !origin) {
      hands.hover(place.x, place.y);
      return;
    }
    down.set(event.pointerId, place);
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      origin.moved = true;
      const factor = (from: number, to: number) => (from > 30 && to > 30 ? from / to : 1);
      const time = factor(Math.abs(before.x - other.x), Math.abs(place.x - other.x));
      const neurons = factor(Math.abs(before.y - other.y), Math.abs(place.y - other.y));
      hands.zoom(time, neurons, (place.x + other.x) / 2, (place.y + other.y) / 2);
      return;
    }
    if (!origin.moved && Math.hypot(place.x - origin.x, place.y - origin.y) < TAP) return;
    origin.moved = true;
    if (origin.selecting) hands.select(origin.y, place.y);
    else hands.pan(place.x - before.x, place.y - before.y);
  });

  const lift = (event: PointerEvent, finished: boolean) => {
    if (!down.delete(event.pointerId) || !origin || down.size > 0) return;
    const place = at(event);
    if (finished && !origin.moved) hands.tap(place.x, place.y);
    if (finished && origin.moved && origin.selecting) hands.select(origin.y, place.y);
    origin = undefined;
  };
  canvas.addEventListener("pointerup", (event) => lift(event, true));
  canvas.addEventListener("pointercancel", (event) => lift(event, false));
  canvas.addEventListener("pointerleave", (event) => {
    armed = false;
    // A finger that was lifted has tapped: what it pointed at stays.
    if (event.pointerType !== "touch") hands.leave();
  });

  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!armed && !event.ctrlKey && document.activeElement !== canvas) return;
      event.preventDefault();
      const unit = WHEEL_UNITS[event.deltaMode] ?? 1;
      const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
      const place = at(event);
      // A trackpad's pinch comes as a wheel with Ctrl, in small numbers. Shift makes some systems turn the wheel sideways.
      const factor = 2 ** ((event.shiftKey ? dy || dx : event.ctrlKey ? 4 * dy : dy) / WHEEL_DOUBLE);
      if (event.ctrlKey) hands.zoom(factor, factor, place.x, place.y);
      else if (event.shiftKey || hands.onAxis(place.x)) hands.zoom(1, factor, place.x, place.y);
      else if (Math.abs(dx) > Math.abs(dy)) hands.pan(-dx, 0);
      else hands.zoom(factor, 1, place.x, place.y);
    },
    { passive: false },
  );
}
