// What makes dist/ a package: the types of mar.js in one file beside it, and the examples.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Plugin } from "vite";

const TSC = "node_modules/typescript/bin/tsc";
const EXAMPLES = ["examples/minimal.html", "examples/minimal.js"];

export function marPackage(): Plugin {
  return {
    name: "mar-package",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "mar.d.ts", source: declarations() });
      for (const fileName of EXAMPLES) {
        this.emitFile({ type: "asset", fileName, source: readFileSync(fileName, "utf8") });
      }
    },
  };
}

/** Of src/mar/index.ts: it exports all of types.ts, and mar.ts, which needs no other module's types. */
function declarations(): string {
  const out = mkdtempSync(join(tmpdir(), "mar-types-"));
  try {
    const flags = ["--project", ".", "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--rootDir", "."];
    execFileSync(process.execPath, [TSC, ...flags, "--outDir", out], { encoding: "utf8" });
    const [types, mar] = ["types", "mar"].map((name) => readFileSync(join(out, `src/mar/${name}.d.ts`), "utf8"));
    return `${types}${mar?.replace(/^import type [^;]*;\n/gm, "")}`;
  } finally {
    rmSync(out, { recursive: true });
  }
}
