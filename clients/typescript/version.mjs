// Writes src/gen/version.ts, so that package.json is the one place of this binding's version.
import { readFileSync, writeFileSync } from "node:fs";

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
writeFileSync("src/gen/version.ts", `export const VERSION = ${JSON.stringify(version)};\n`);
