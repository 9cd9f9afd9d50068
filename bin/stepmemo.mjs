#!/usr/bin/env node
import { existsSync } from 'node:fs';

const bundle = new URL('../dist/stepmemo.mjs', import.meta.url);
if (!existsSync(bundle)) {
  console.error('stepmemo: dist/stepmemo.mjs is missing; run `make build` first');
  process.exit(2);
}
await import(bundle.href);
