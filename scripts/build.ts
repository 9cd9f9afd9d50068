// Bundles the two programs into dist/: the server with its command line, and the sidecar.
// The sidecar is a file of its own because it starts with every missed step: it holds no library at all.
import { rm } from 'node:fs/promises';
import { build } from 'esbuild';
import { BUNDLE, DEFINE, root } from './bundle.ts';

const common = {
  ...BUNDLE,
  format: 'esm',
  legalComments: 'linked',
  logLevel: 'warning',
} as const;

await rm(`${root}/dist`, { recursive: true, force: true });
await build({
  ...common,
  entryPoints: { stepmemo: 'src/main.ts' },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  sourcemap: 'linked',
  define: DEFINE,
  // Some dependencies are CommonJS and ask for Node's own modules with require.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});
const sidecar = await build({
  ...common,
  entryPoints: { capture: 'src/sidecar/main.ts' },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  minify: true,
  metafile: true,
});
const foreign = Object.keys(sidecar.metafile.inputs).filter((path) => path.includes('node_modules'));
if (foreign.length > 0) throw new Error(`the sidecar must hold no library, but it bundles ${foreign.join(', ')}`);
