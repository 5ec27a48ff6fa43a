// Numbers for people.

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** Three digits. */
export function formatNumber(value: number): string {
  return number.format(value);
}

/** Bytes in the unit that suits them. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, ["B", "kB", "MB", "GB"]);
}

/** Seconds in the unit that suits them. */
export function formatTime(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  return seconds < 3600 ? `${Math.ceil(seconds / 60)} min` : `${formatNumber(seconds / 3600)} h`;
}

/** Picojoules in the unit that suits them. */
export function formatEnergy(picojoules: number): string {
  return scaled(picojoules, ["pJ", "nJ", "µJ", "mJ", "J"]);
}

/** Units go up in thousands. */
function scaled(value: number, units: readonly string[]): string {
  const step = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), units.length - 1);
  return `${formatNumber(value / 1000 ** step)} ${units[step]}`;
}
