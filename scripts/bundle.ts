// What every bundle of the project has in common: the two programs of dist/ and the one file that needs no Node.js.
import { fileURLToPath } from 'node:url';
import packageJson from '../package.json' with { type: 'json' };

export const root = fileURLToPath(new URL('..', import.meta.url));

export const BUNDLE = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node24',
  minifySyntax: true,
} as const;

/** What the command line knows of its package. */
export const DEFINE = { STEPMEMO_VERSION: JSON.stringify(packageJson.version) };
