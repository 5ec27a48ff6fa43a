import { defineConfig } from "vite";

export default defineConfig({
  // Relative addresses: the page works in any folder of any server.
  base: "./",
  worker: { format: "es" },
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0,
    rolldownOptions: { input: ["index.html", "bench.html"] },
  },
});
