import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { SIDECAR_ENV, SIDECAR_NODE_FLAGS } from '../../../src/sidecar/command.ts';
import type { Certificate } from './certificates.ts';

const repository = new URL('../../..', import.meta.url).pathname;

/** Bundles the program as it ships, without a library; answers its path and the files that went in. */
export async function buildSidecar(): Promise<{ path: string; inputs: string[]; remove(): void }> {
  const directory = mkdtempSync(join(tmpdir(), 'stepmemo-sidecar-'));
  const path = join(directory, 'capture.mjs');
  const { metafile } = await build({
    absWorkingDir: repository,
    entryPoints: ['src/sidecar/main.ts'],
    outfile: path,
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    metafile: true,
  });
  return {
    path,
    inputs: Object.keys(metafile.inputs),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** A directory laid out as Argo does below /var/run/argo, with main's mounts and a token beside it. */
export class Layout {
  readonly #directory = mkdtempSync(join(tmpdir(), 'stepmemo-argo-'));
  readonly root = join(this.#directory, 'argo');
  readonly mounts = join(this.#directory, 'mainctrfs');
  readonly token = join(this.#directory, 'token');
  readonly terminationLog = join(this.#directory, 'termination-log');

  constructor() {
    mkdirSync(this.root);
    mkdirSync(this.mounts);
    writeFileSync(this.token, 'the-token');
    writeFileSync(this.terminationLog, '');
  }

  template(template: unknown): this {
    return this.file('template', JSON.stringify(template));
  }

  /** A `container` template with parameters by path, `name` being the path's last part. */
  declares(...paths: string[]): this {
    return this.template(containerTemplate(...paths));
  }

  file(path: string, content: string | Buffer): this {
    const full = join(this.root, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content);
    return this;
  }

  output(path: string, content: string | Buffer): this {
    return this.file(join('outputs/parameters', path), content);
  }

  exit(code: number, container = 'main'): this {
    return this.file(`ctr/${container}/exitcode`, String(code));
  }

  /** What the program left for the pod's status. */
  get lastWord(): string {
    return readFileSync(this.terminationLog, 'utf8');
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export function containerTemplate(...paths: string[]): unknown {
  const parameters = paths.map((path) => ({ name: path.split('/').at(-1), valueFrom: { path } }));
  return { name: 'work', container: { image: 'work' }, outputs: { parameters } };
}

export interface Post {
  readonly path: string;
  readonly authorization: string;
  readonly body: unknown;
}

/** A real endpoint. `answer` may hold the response back; by default every post is taken. */
export async function startEndpoint(
  certificate: Certificate,
  answer: (response: ServerResponse, count: number) => void = (response) => response.end('{"message":"taken"}'),
) {
  const posts: Post[] = [];
  const server = createServer(certificate, async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    posts.push({
      path: request.url ?? '',
      authorization: request.headers.authorization ?? '',
      body: JSON.parse(Buffer.concat(chunks).toString('utf8')),
    });
    answer(response, posts.length);
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    posts,
    url: `https://127.0.0.1:${port}`,
    close(): void {
      server.closeAllConnections();
      server.close();
    },
  };
}

export interface StartOptions {
  readonly program: string;
  readonly layout: Layout;
  readonly url: string;
  readonly ca: string;
  readonly needsResult?: boolean;
  /** Plenty, unless the deadline is what the test is about: the machine may be busy. */
  readonly deadlineMs?: number;
  readonly nodeFlags?: readonly string[];
  readonly env?: Record<string, string>;
}

/** Starts the program with the flags that it has in a pod. */
export function startSidecar({
  program,
  layout,
  url,
  ca,
  needsResult,
  deadlineMs = 20_000,
  nodeFlags = [],
  env,
}: StartOptions) {
  const args = [
    `--root=${layout.root}`,
    `--mounts=${layout.mounts}`,
    `--token=${layout.token}`,
    `--termination-log=${layout.terminationLog}`,
    `--deadline-ms=${deadlineMs}`,
  ];
  const child = spawn(process.execPath, [...SIDECAR_NODE_FLAGS, ...nodeFlags, program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      [SIDECAR_ENV.url]: url,
      [SIDECAR_ENV.ca]: ca,
      [SIDECAR_ENV.needsResult]: String(needsResult ?? false),
      ...env,
    },
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output += chunk;
  });
  const ended = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
    output,
    log: parseLog(output),
  }));
  return {
    ended,
    pid: child.pid ?? 0,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    terminate: () => child.kill('SIGTERM'),
    kill: () => child.kill('SIGKILL'),
    /** Once it waits, and notices a SIGTERM instead of dying of it. */
    waits: () => until(() => output.includes('waiting for the step to end')),
    /** Once it has woken up some more times, and so has seen what lies there now. */
    looksAgain: async () => {
      const before = countWakeUps(child.pid ?? 0);
      await until(() => countWakeUps(child.pid ?? 0) > before + 3);
    },
  };
}

function countWakeUps(pid: number): number {
  return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** The last line of the log, which says what came of it. */
function parseLog(output: string): Record<string, unknown> {
  try {
    return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** Waits for a condition; fails when it has not come true after ten seconds. */
export async function until(isTrue: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!isTrue()) {
    if (performance.now() > deadlineMs) throw new Error('the condition never came true');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
