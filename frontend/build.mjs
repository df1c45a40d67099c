// Bundles the five widgets: `node build.mjs [folder]`, by default into the package.
// The same sources and the same lock file give the same bytes, which CI compares.
import { build } from "esbuild";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = resolve(process.argv[2] ?? join(here, "..", "autoresearch_kit", "static"));
const widgets = ["review", "monitor", "dashboard", "paste", "explore"];

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: widgets.flatMap((name) => [`src/${name}.js`, `src/css/${name}.css`]),
  entryNames: "[name]",
  outdir,
  bundle: true,
  format: "esm",
  target: ["es2022"],
  charset: "utf8",
  minify: true,
  legalComments: "none", // the licences below are complete, comments in the sources are not
  metafile: true,
  logLevel: "warning",
});

for (const [path, { bytes }] of Object.entries(metafile.outputs)) {
  console.log(`${(bytes / 1024).toFixed(1).padStart(7)} kB  ${path.split("/").at(-1)}`);
}
writeFileSync(join(outdir, "LICENSES.txt"), licences(metafile));

// The MIT licence asks that its text travels with every copy, minified ones included.
function licences({ inputs }) {
  const names = new Set();
  for (const path of Object.keys(inputs)) {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
    if (found) names.add(found[1]);
  }
  const parts = [...names].sort().map((name) => {
    const folder = join(here, "node_modules", name);
    const file = ["LICENSE", "LICENSE.md", "LICENCE"].map((f) => join(folder, f)).find(existsSync);
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return `${name} ${version}\n\n${readFileSync(file, "utf8").trim()}\n`;
  });
  return `The widgets in this folder contain code of:\n\n${parts.join("\n\n")}`;
}
