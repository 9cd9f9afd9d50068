// Makes the command line one file that needs no Node.js beside it: the bundle within Node's own binary (a "single executable
// application", nodejs.org/api/single-executable-applications.html).
//   executable.ts [PLATFORM] [FILE]     linux-x64 or linux-arm64; dist/stepmemo-PLATFORM where no file is named
import { execFileSync } from 'node:child_process';
import { chmod, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { inject } from 'postject';
import packageJson from '../package.json' with { type: 'json' };
import { BUNDLE, DEFINE, root } from './bundle.ts';

const PLATFORMS = ['linux-x64', 'linux-arm64'];
/** Where Node's binary takes a program from. */
const RESOURCE = 'NODE_SEA_BLOB';
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

const [platform = `linux-${process.arch}`, file = `${root}/dist/stepmemo-${platform}`] = process.argv.slice(2);
if (!PLATFORMS.includes(platform)) throw new Error(`no such platform: ${platform}; say ${PLATFORMS.join(' or ')}`);

const scratch = await mkdtemp(join(tmpdir(), 'stepmemo-executable-'));
try {
  const program = join(scratch, 'stepmemo.cjs');
  const blob = join(scratch, 'blob');
  await build({
    ...BUNDLE,
    entryPoints: ['src/main.ts'],
    outfile: program,
    // What Node starts there cannot be an ES module.
    format: 'cjs',
    logLevel: 'error',
    define: DEFINE,
  });
  const config = join(scratch, 'config.json');
  await writeFile(config, JSON.stringify({ main: program, output: blob, disableExperimentalSEAWarning: true }));
  execFileSync(process.execPath, ['--experimental-sea-config', config], { stdio: 'ignore' });
  await copyFile(await nodeFor(platform), file);
  await chmod(file, 0o755);
  await inject(file, RESOURCE, await readFile(blob), { sentinelFuse: FUSE });
  console.log(file);
} finally {
  await rm(scratch, { recursive: true, force: true });
}

/** The binary of the very Node.js that the project has among its packages, for any platform: npm has them all. */
async function nodeFor(name: string): Promise<string> {
  if (name === `linux-${process.arch}`) return process.execPath;
  const wanted = `node-${name}@${packageJson.devDependencies.node}`;
  const packed = execFileSync('npm', ['pack', '--silent', wanted], { cwd: scratch, encoding: 'utf8' }).trim();
  execFileSync('tar', ['-xzf', packed, 'package/bin/node'], { cwd: scratch });
  return join(scratch, 'package/bin/node');
}
