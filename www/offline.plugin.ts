// Builds the service worker beside the page, with the list of the page's files in it.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "vite";

/** Files of public/ that the page needs. */
const PUBLIC = ["favicon.svg", "icon-192.png", "icon-512.png", "icon-maskable.png", "manifest.webmanifest"];

export function marOffline(): Plugin {
  return {
    name: "mar-offline",
    apply: "build",
    async writeBundle({ dir = "dist" }, bundle) {
      // Names with a hash in them need no revision. What measures speed is not the page.
      const assets = Object.keys(bundle).filter((name) => /^assets\/(?!bench-)/.test(name));
      const others = ["index.html", ...PUBLIC].map((url) => ({ url, revision: revision(join(dir, url)) }));
      const shell = [...assets.sort().map((url) => ({ url, revision: null })), ...others];
      await build({
        configFile: false,
        logLevel: "warn",
        publicDir: false,
        define: { SHELL: JSON.stringify(shell), "process.env.NODE_ENV": '"production"' },
        build: {
          outDir: dir,
          emptyOutDir: false,
          target: "es2023",
          // One classic script: not every browser starts a service worker as a module.
          lib: { entry: "src/offline/sw.ts", formats: ["iife"], name: "sw", fileName: () => "sw.js" },
        },
      });
    },
  };
}

function revision(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 16);
}
