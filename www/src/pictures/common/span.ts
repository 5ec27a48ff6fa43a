// Windows on an axis: what part of it is seen, and what zooming and panning make of that.

/** From `start`, `length` of something: columns, neurons. */
export interface Span {
  start: number;
  length: number;
}

/** The end of a span, which is no longer in it. */
export function endOf(span: Span): number {
  return span.start + span.length;
}

/** The span of `length` no smaller than `least` and no larger than `whole`, moved into `whole`. */
export function confine(span: Span, whole: Span, least: number): Span {
  const length = Math.min(Math.max(span.length, Math.min(least, whole.length)), whole.length);
  const start = Math.min(Math.max(span.start, whole.start), endOf(whole) - length);
  return { start, length };
}

/** Zooms so that what is `factor` times as long is seen, and `anchor` stays where it is. */
export function zoom(span: Span, factor: number, anchor: number): Span {
  return { start: anchor - (anchor - span.start) * factor, length: span.length * factor };
}

/** Moves by `distance`. */
export function pan(span: Span, distance: number): Span {
  return { start: span.start + distance, length: span.length };
}

/** Moves as little as possible so that `point` is seen. */
export function reveal(span: Span, point: number, margin = 0): Span {
  const room = Math.min(margin, span.length / 2);
  if (point < span.start + room) return { start: point - room, length: span.length };
  if (point > endOf(span) - room) return { start: point + room - span.length, length: span.length };
  return span;
}

/** A step towards `target`, the same whatever the frame rate: half of the way is gone after `halfLife`. */
export function glide(from: Span, target: Span, elapsed: number, halfLife: number): Span {
  const share = 1 - 0.5 ** (elapsed / halfLife);
  return {
    start: from.start + (target.start - from.start) * share,
    length: from.length + (target.length - from.length) * share,
  };
}

/** Round numbers in a range, about `count` of them: steps of 1, 2 or 5 times a power of ten. */
export function ticks(low: number, high: number, count: number): number[] {
  if (!(high > low) || count < 1) return [];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const found: number[] = [];
  for (let i = first; i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}
