#!/usr/bin/env node
// Starts the bundle; on an older Node.js than it needs, with the one that the project has among its packages.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const NEEDED = 24;
const bundle = new URL('../dist/stepmemo.mjs', import.meta.url);
const ownNode = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));

if (!existsSync(bundle)) {
  console.error('stepmemo: dist/stepmemo.mjs is missing; run `make build` first');
  process.exit(2);
}
if (Number(process.versions.node.split('.')[0]) >= NEEDED) {
  await import(bundle.href);
} else if (existsSync(ownNode)) {
  const { status } = spawnSync(ownNode, [fileURLToPath(bundle), ...process.argv.slice(2)], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
} else {
  console.error(`stepmemo: needs Node.js ${NEEDED} or later, this is ${process.versions.node}`);
  process.exit(2);
}
