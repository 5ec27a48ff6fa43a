import { defineConfig } from "vite";
import { marOffline } from "./offline.plugin.ts";
import { marPackage } from "./package.plugin.ts";

export default defineConfig({
  // Relative addresses: the page works in any folder of any server.
  base: "./",
  worker: { format: "es" },
  plugins: [marPackage(), marOffline()],
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: { index: "index.html", bench: "bench.html", mar: "src/mar/index.ts" },
      // What mar.js exports is for other pages.
      preserveEntrySignatures: "exports-only",
      output: { entryFileNames: ({ name }) => (name === "mar" ? "mar.js" : "assets/[name]-[hash].js") },
    },
  },
});
