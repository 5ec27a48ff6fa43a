// The GPU's name, which the engine cannot see: browsers leave the adapter's description empty, and tell maker and kind.

/** What the engine calls an adapter without a description. */
const UNNAMED = "BrowserWebGpu";

/** What WebGPU's types say, as far as it is needed here. */
interface Gpu {
  requestAdapter(options: { powerPreference: "high-performance" }): Promise<{
    info: { vendor: string; architecture: string; description: string };
  } | null>;
}

/** Maker and kind of the adapter that the engine gets. */
export async function adapterName(): Promise<string> {
  const { gpu } = navigator as Navigator & { gpu?: Gpu };
  const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  const { vendor = "", architecture = "", description = "" } = adapter?.info ?? {};
  return description || [vendor, architecture].filter((word) => word !== "").join(" ") || UNNAMED;
}

/** `text` of the engine, with the adapter's name in it. */
export function withName(text: string, name: string): string {
  return text.replaceAll(UNNAMED, name);
}
