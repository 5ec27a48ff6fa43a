// The package: `import { Mar } from "./mar.js"`.
export { type Completions, Mar } from "./mar";
export * from "./types";
