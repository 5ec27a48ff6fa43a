// Numbers for people: three digits, SI prefixes, one way everywhere.

/** Between a number and its unit: narrow, and no line break. */
const GAP = "\u202f";
const PREFIXES = ["f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P"];
const UNIT_PREFIX = PREFIXES.indexOf("");

const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** With an SI prefix: `formatSi(0.0000123, "J")` is "12.3 µJ". What is beyond the prefixes keeps the last one. */
export function formatSi(value: number, unit: string): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return `0${GAP}${unit}`;
  // Rounded first, so that 999.9 m becomes 1, not 1000 m.
  const rounded = Number(value.toPrecision(3));
  const power = Math.floor(Math.log10(Math.abs(rounded)) / 3 + 1e-9);
  const index = Math.min(Math.max(power + UNIT_PREFIX, 0), PREFIXES.length - 1);
  return `${plain.format(rounded / 1000 ** (index - UNIT_PREFIX))}${GAP}${PREFIXES[index]}${unit}`;
}

/** Bytes in decimal units: "1.57 MB". */
export function formatBytes(bytes: number): string {
  return formatSi(bytes, "B");
}

/** A whole number with its thousands apart: "12,345". */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? whole.format(value) : "–";
}

/** Three significant digits. */
export function formatNumber(value: number): string {
  return Number.isFinite(value) ? plain.format(value) : "–";
}

/** A share of one as percent: `formatPercent(0.123)` is "12.3 %". */
export function formatPercent(share: number): string {
  return Number.isFinite(share) ? `${plain.format(share * 100)}${GAP}%` : "–";
}

/** How `value` differs from `reference`: "+12.3 %", "−4 %", "±0 %". */
export function formatChange(value: number, reference: number): string {
  if (!Number.isFinite(value / reference)) return "–";
  const percent = Number(((value / reference - 1) * 100).toPrecision(3));
  const sign = percent > 0 ? "+" : percent < 0 ? "−" : "±";
  return `${sign}${plain.format(Math.abs(percent))}${GAP}%`;
}

/** A token as it can be read: quoted, with what is invisible shown. */
export function formatToken(text: string): string {
  if (text === "") return "∅";
  return text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥");
}
