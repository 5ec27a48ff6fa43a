/** What `cargo xtask test browser` says in the environment: MAR_URL, MAR (the native command), CHROMIUM. */
export function environment(name: "MAR_URL" | "MAR" | "CHROMIUM"): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run these tests by: cargo xtask test browser`);
  return value;
}
