import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Captured } from '../../../src/sidecar/captured.ts';
import { FORGIVEN_EXIT_CODES } from '../../../src/sidecar/command.ts';
import { digestOf } from '../../../src/sidecar/digest.ts';
import { createAuthority } from './certificates.ts';
import { buildSidecar, containerTemplate, Layout, startEndpoint, startSidecar, until } from './harness.ts';

// The real program, as it is bundled, as a process of its own: against directories as Argo lays them out, and a real server.

const authority = createAuthority('stepmemo');
const certificate = authority.issue(['127.0.0.1']);
let program = '';
let inputs: readonly string[] = [];
let removeProgram = (): void => undefined;
beforeAll(async () => {
  ({ path: program, inputs, remove: removeProgram } = await buildSidecar());
});
afterAll(() => removeProgram());

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

function layout(): Layout {
  const made = new Layout();
  cleanups.push(() => made.remove());
  return made;
}

async function endpoint(...args: Parameters<typeof startEndpoint> | []) {
  const started = await startEndpoint(args[0] ?? certificate, args[1]);
  cleanups.push(() => started.close());
  return started;
}

function start(options: Omit<Parameters<typeof startSidecar>[0], 'program' | 'ca'> & { ca?: string }) {
  const started = startSidecar({ ca: authority.cert, ...options, program });
  cleanups.push(() => started.kill());
  return started;
}

/** Runs the program on what is there already, to its end. */
async function runOn(files: Layout, needsResult = false) {
  const { posts, url } = await endpoint();
  const end = await start({ layout: files, url, needsResult }).ended;
  expect(end).toMatchObject({ code: 0, signal: null });
  return { ...end, posts, body: posts[0]?.body };
}

describe('the sidecar', { timeout: 30_000 }, () => {
  it('is made of its own files alone', () => {
    expect(inputs.every((path) => path.startsWith('src/sidecar/') || path === 'src/sidecar/command.ts')).toBe(true);
  });

  describe('what it reads and posts', () => {
    it('posts the parameters with its token, each without one trailing newline', async () => {
      const files = layout().declares('/tmp/deep/dir/text', '/tmp/empty', '/tmp/lines');
      files
        .output('/tmp/deep/dir/text', 'one\n\n two \n\n')
        .output('/tmp/empty', '')
        .output('/tmp/lines', '\n')
        .exit(0);
      const { posts, log } = await runOn(files);
      expect(posts).toEqual([
        {
          path: '/capture/v1/outputs',
          authorization: 'Bearer the-token',
          body: {
            parameters: [
              { name: 'text', value: 'one\n\n two \n' },
              { name: 'empty', value: '' },
              { name: 'lines', value: '' },
            ],
          },
        },
      ]);
      expect(log).toMatchObject({ outcome: 'posted', status: 200, parameters: 3, message: 'taken' });
    });

    it('takes the default where there is no file, and leaves out what has none or needs no file', async () => {
      const files = layout().template({
        container: {},
        outputs: {
          parameters: [
            { name: 'defaulted', valueFrom: { path: '/tmp/none', default: 'fallback\n' } },
            { name: 'number', valueFrom: { path: '/tmp/none', default: 3 } },
            { name: 'gone', valueFrom: { path: '/tmp/none' } },
            { name: 'expression', valueFrom: { expression: 'x' } },
            { name: 'supplied', valueFrom: { supplied: {} } },
          ],
        },
      });
      const { body, log } = await runOn(files.exit(0));
      expect(body).toEqual({
        parameters: [
          { name: 'defaulted', value: 'fallback' },
          { name: 'number', value: '3' },
        ],
      });
      expect(log.missing).toEqual([{ output: 'gone', why: 'ENOENT' }]);
    });

    it('reads outputs in volumes of main below its own mounts', async () => {
      const files = layout().template({
        script: { volumeMounts: [{ name: 'work', mountPath: '/work/' }] },
        outputs: {
          parameters: [
            { name: 'mounted', valueFrom: { path: '/work/out' } },
            { name: 'beside', valueFrom: { path: '/workshop/out' } },
          ],
        },
      });
      mkdirSync(join(files.mounts, 'work'));
      writeFileSync(join(files.mounts, 'work/out'), 'from the volume\n');
      files.output('/work/out', 'wrong').output('/workshop/out', 'copied\n').exit(0);
      expect((await runOn(files)).body).toEqual({
        parameters: [
          { name: 'mounted', value: 'from the volume' },
          { name: 'beside', value: 'copied' },
        ],
      });
    });

    it('leaves the digest of what it read for the status of the pod', async () => {
      const files = layout().declares('/tmp/a').output('/tmp/a', 'value').file('ctr/main/stdout', 'said').exit(0);
      const { body } = await runOn(files, true);
      expect(body).toEqual({ parameters: [{ name: 'a', value: 'value' }], result: 'said' });
      expect(files.lastWord).toBe(digestOf(body as Captured));
    });

    it('needs no place for its last word, and makes none', async () => {
      const files = layout().declares('/tmp/a').output('/tmp/a', 'value').exit(0);
      rmSync(files.terminationLog);
      expect((await runOn(files)).body).toEqual({ parameters: [{ name: 'a', value: 'value' }] });
      expect(existsSync(files.terminationLog)).toBe(false);
    });

    it('posts an empty set for a step without outputs', async () => {
      expect((await runOn(layout().template({ container: {} }).exit(0))).body).toEqual({ parameters: [] });
    });

    it('posts the result only where one is needed, without one newline', async () => {
      const files = layout().declares().file('ctr/main/stdout', 'said\n\n').exit(0);
      expect((await runOn(files)).body).toEqual({ parameters: [] });
      expect((await runOn(files, true)).body).toEqual({ parameters: [], result: 'said\n' });
    });

    it('keeps the last 256 KiB of a long result, its broken first character as Go writes it', async () => {
      const kept = 256 * 1024;
      const files = layout().declares();
      // 'ä' is two bytes: the cut goes through the middle of one.
      files.file('ctr/main/stdout', `${'ä'.repeat(kept)}x\n`).exit(0);
      const { body } = await runOn(files, true);
      // Compared as a truth value: a difference of this length is no help on a screen.
      expect((body as { result: string }).result === `\u{fffd}${'ä'.repeat((kept - 2) / 2)}x`).toBe(true);
    });

    it('posts a megabyte of characters of all widths as it is', async () => {
      const value = 'aä€😀'.repeat(100_000);
      const files = layout().declares('/tmp/large').output('/tmp/large', value).exit(0);
      const { parameters } = (await runOn(files)).body as { parameters: [{ value: string }] };
      expect(parameters[0].value === value).toBe(true);
    });
  });

  describe('when it posts', () => {
    it('waits for files and directories that come late, and for an exit code that is still empty', async () => {
      const { posts, url } = await endpoint();
      const files = layout();
      const sidecar = start({ layout: files, url });
      await sidecar.waits();
      files.file('template', '{"container": {}, "outp');
      await sidecar.looksAgain();
      files.declares('/tmp/a').output('/tmp/a', 'late').file('ctr/main/exitcode', '');
      await sidecar.looksAgain();
      expect(sidecar.isRunning()).toBe(true);
      files.exit(0);
      expect(await sidecar.ended).toMatchObject({ code: 0, log: { outcome: 'posted' } });
      expect(posts).toHaveLength(1);
    });

    it('waits for every member of a container set', async () => {
      const { posts, url } = await endpoint();
      const files = layout().template({
        containerSet: { containers: [{ name: 'a' }, { name: 'main' }] },
        outputs: { parameters: [{ name: 'out', valueFrom: { path: '/tmp/out' } }] },
      });
      files.output('/tmp/out', 'set').file('ctr/main/stdout', 'of main').exit(0);
      const sidecar = start({ layout: files, url, needsResult: true });
      await sidecar.waits();
      await sidecar.looksAgain();
      files.exit(0, 'a');
      expect(await sidecar.ended).toMatchObject({ code: 0, log: { outcome: 'posted' } });
      expect(posts[0]?.body).toEqual({ parameters: [{ name: 'out', value: 'set' }], result: 'of main' });
    });

    it.each([1, 64, 137, 143])('posts nothing after exit code %i', async (exitCode) => {
      const files = layout().declares('/tmp/a').output('/tmp/a', 'x').exit(exitCode);
      const { posts, log } = await runOn(files);
      expect(posts).toEqual([]);
      expect(log).toMatchObject({ outcome: 'failed', container: 'main', exitCode });
      expect(files.lastWord).toBe('');
    });

    it('ends as soon as one member has failed, whatever the others do', async () => {
      const files = layout().template({ containerSet: { containers: [{ name: 'a' }, { name: 'b' }] } });
      const { posts, log } = await runOn(files.exit(2, 'b'));
      expect(posts).toEqual([]);
      expect(log).toMatchObject({ outcome: 'failed', container: 'b' });
    });

    it("ends when Argo's supervisor has given up", async () => {
      const { posts, log } = await runOn(layout().file('status', 'FAILED could not load the artifacts'));
      expect(posts).toEqual([]);
      expect(log).toMatchObject({ outcome: 'supervisor-failed' });
    });
  });

  describe('SIGTERM', () => {
    it('ends it at once while main runs, and nothing is posted', async () => {
      const { posts, url } = await endpoint();
      const sidecar = start({ layout: layout().declares('/tmp/a').output('/tmp/a', 'half'), url });
      await sidecar.waits();
      sidecar.terminate();
      expect(await sidecar.ended).toMatchObject({ code: 0, signal: null, log: { outcome: 'terminated' } });
      expect(posts).toEqual([]);
    });

    it('together with the exit code still lets it read and post', async () => {
      const { posts, url } = await endpoint();
      const files = layout().declares('/tmp/a').output('/tmp/a', 'whole');
      const sidecar = start({ layout: files, url });
      await sidecar.waits();
      files.exit(0);
      sidecar.terminate();
      expect(await sidecar.ended).toMatchObject({ code: 0, signal: null, log: { outcome: 'posted' } });
      expect(posts[0]?.body).toEqual({ parameters: [{ name: 'a', value: 'whole' }] });
    });

    it('in the middle of a post does not break it off', async () => {
      let terminate = (): unknown => undefined;
      const { url } = await endpoint(certificate, (response) => {
        terminate();
        response.end('{}');
      });
      const sidecar = start({ layout: layout().declares().exit(0), url });
      terminate = sidecar.terminate;
      expect(await sidecar.ended).toMatchObject({ code: 0, signal: null, log: { outcome: 'posted' } });
    });
  });

  describe('a server that is no help', () => {
    const done = (): Layout => layout().declares('/tmp/a').output('/tmp/a', 'value').exit(0);

    it('ends at its deadline when the server never answers', async () => {
      const { posts, url } = await endpoint(certificate, () => undefined);
      const sidecar = start({ layout: done(), url, deadlineMs: 2_000 });
      await until(() => posts.length === 1);
      expect(sidecar.isRunning()).toBe(true);
      expect(await sidecar.ended).toMatchObject({ code: 0, log: { outcome: 'deadline' } });
    });

    it('ends at its deadline when the connection is taken and nothing comes', async () => {
      const sockets: Socket[] = [];
      const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
      cleanups.push(() => {
        for (const socket of sockets) socket.destroy();
        server.close();
      });
      await until(() => server.listening);
      const { port } = server.address() as { port: number };
      const end = await start({ layout: done(), url: `https://127.0.0.1:${port}`, deadlineMs: 250 }).ended;
      expect(end).toMatchObject({ code: 0, log: { outcome: 'deadline' } });
    });

    it('gives up when nobody listens, after it has tried again', async () => {
      const { url, close } = await endpoint();
      close();
      const files = done();
      const end = await start({ layout: files, url }).ended;
      expect(end).toMatchObject({ code: 0, log: { outcome: 'not-sent', message: 'ECONNREFUSED', attempts: 3 } });
      expect(files.lastWord).toBe(digestOf({ parameters: [{ name: 'a', value: 'value' }] }));
    });

    it('gives up when the name of the server has no address', async () => {
      const end = await start({ layout: done(), url: 'https://stepmemo.invalid:8444', deadlineMs: 250 }).ended;
      expect(end.code).toBe(0);
      expect(['not-sent', 'deadline']).toContain(end.log.outcome);
    });

    it('sends nothing to a server whose certificate comes from another authority', async () => {
      const { posts, url } = await endpoint(createAuthority('newer').issue(['127.0.0.1']));
      const end = await start({ layout: done(), url }).ended;
      expect(end).toMatchObject({ code: 0, log: { outcome: 'not-sent', attempts: 1 } });
      expect(posts).toEqual([]);
    });

    it('sends nothing to a server whose certificate is for another name', async () => {
      const { posts, url } = await endpoint(authority.issue(['other.stepmemo.svc']));
      const end = await start({ layout: done(), url }).ended;
      expect(end).toMatchObject({ code: 0, log: { message: 'ERR_TLS_CERT_ALTNAME_INVALID' } });
      expect(posts).toEqual([]);
    });

    it('tries again where another replica may take it, and not where none would', async () => {
      const busy = await endpoint(certificate, (response, count) => {
        response.writeHead(count === 1 ? 503 : 200).end('{}');
      });
      const posted = await start({ layout: done(), url: busy.url }).ended;
      expect(posted.log).toMatchObject({ outcome: 'posted', attempts: 2 });
      const strict = await endpoint(certificate, (response) => {
        response.writeHead(409).end('{"message":"other outputs were taken"}');
      });
      const refused = await start({ layout: done(), url: strict.url }).ended;
      expect(refused).toMatchObject({ code: 0, log: { outcome: 'refused', status: 409, attempts: 1 } });
    });
  });

  describe('hostile files', () => {
    it.each<[string, (files: Layout) => void, string]>([
      [
        'a link to its own token',
        (files) => {
          mkdirSync(join(files.root, 'outputs/parameters/tmp'), { recursive: true });
          symlinkSync(files.token, join(files.root, 'outputs/parameters/tmp/token'));
        },
        'a symbolic link',
      ],
      [
        'a linked directory',
        (files) => {
          mkdirSync(join(files.root, 'outputs/parameters'), { recursive: true });
          symlinkSync(join(files.token, '..'), join(files.root, 'outputs/parameters/tmp'));
        },
        'a symbolic link',
      ],
      [
        'a link in place of the whole directory of outputs',
        (files) => {
          mkdirSync(join(files.mounts, 'parameters/tmp'), { recursive: true });
          writeFileSync(join(files.mounts, 'parameters/tmp/token'), 'the-token');
          symlinkSync(files.mounts, join(files.root, 'outputs'));
        },
        'a symbolic link',
      ],
      [
        'a FIFO',
        (files) => {
          mkdirSync(join(files.root, 'outputs/parameters/tmp'), { recursive: true });
          execFileSync('mkfifo', [join(files.root, 'outputs/parameters/tmp/token')]);
        },
        'no regular file',
      ],
      [
        'a directory',
        (files) => void mkdirSync(join(files.root, 'outputs/parameters/tmp/token'), { recursive: true }),
        'no regular file',
      ],
      [
        'five gigabytes',
        (files) => {
          files.output('/tmp/token', '');
          truncateSync(join(files.root, 'outputs/parameters/tmp/token'), 5 * 1024 ** 3);
        },
        'too large',
      ],
    ])('leaves out %s', async (_, make, why) => {
      const files = layout().declares('/tmp/token');
      make(files);
      const { body, log, posts } = await runOn(files.exit(0));
      expect(body).toEqual({ parameters: [] });
      expect(log.missing).toContainEqual({ output: 'token', why });
      expect(JSON.stringify(posts[0]?.body)).not.toContain('the-token');
    });

    it('climbs no higher than the outputs, whatever path is declared', async () => {
      const files = layout().declares('/../../../token').exit(0);
      files.file('token', 'of the root').file('outputs/token', 'of the outputs');
      const { body, log } = await runOn(files);
      expect(body).toEqual({ parameters: [] });
      expect(log.missing).toEqual([{ output: 'token', why: 'ENOENT' }]);
    });

    it('takes no more than a megabyte of all outputs together', async () => {
      const half = 'x'.repeat(600 * 1024);
      const files = layout().declares('/tmp/a', '/tmp/b', '/tmp/c');
      files.output('/tmp/a', half).output('/tmp/b', half).output('/tmp/c', 'small').exit(0);
      const { body, log } = await runOn(files);
      expect((body as { parameters: { name: string }[] }).parameters.map(({ name }) => name)).toEqual(['a', 'c']);
      expect(log.missing).toEqual([{ output: 'b', why: 'too large' }]);
    });

    it('reads the end of a result of many gigabytes', async () => {
      const files = layout().declares().file('ctr/main/stdout', '').exit(0);
      truncateSync(join(files.root, 'ctr/main/stdout'), 8 * 1024 ** 3);
      expect(((await runOn(files, true)).body as { result: string }).result).toHaveLength(256 * 1024);
    });

    it.each<[string, (files: Layout) => void]>([
      ['a FIFO as exit code', (files) => fifo(files, 'ctr/main/exitcode')],
      ['a link as exit code', (files) => link(files, 'ctr/main/exitcode')],
      ['a linked directory of the container', (files) => link(files, 'ctr/main')],
      ['a FIFO as template', (files) => fifo(files, 'template')],
      ['a link as template', (files) => link(files, 'template')],
      ['a template of many megabytes', (files) => void files.file('template', Buffer.alloc(3 * 1024 ** 2, ' '))],
      ['a template that is none', (files) => void files.file('template', '[1]')],
      ['a container whose name is a path', (files) => hostileSet(files, '../../etc')],
      ['a container without a name', (files) => hostileSet(files, undefined)],
    ])('ends quietly on %s', async (_, make) => {
      const files = layout().declares('/tmp/a').output('/tmp/a', 'x');
      make(files);
      const { posts, url } = await endpoint();
      const sidecar = start({ layout: files, url });
      // Some of these look like a step that still runs: then the end of the pod ends it.
      await Promise.race([sidecar.ended, sidecar.waits()]);
      sidecar.terminate();
      expect(await sidecar.ended).toMatchObject({ code: 0, signal: null });
      expect(posts).toEqual([]);
    });

    it('survives outputs that vanish and change while they are read', async () => {
      const paths = Array.from({ length: 200 }, (_, index) => `/tmp/p${index}`);
      const files = layout().declares(...paths);
      for (const path of paths) files.output(path, 'value');
      const { posts, url } = await endpoint();
      const sidecar = start({ layout: files, url });
      await sidecar.waits();
      files.exit(0);
      for (const path of paths.toReversed()) unlinkSync(join(files.root, 'outputs/parameters', path));
      const end = await sidecar.ended;
      expect(end).toMatchObject({ code: 0, log: { outcome: 'posted' } });
      const { parameters } = (posts[0]?.body ?? { parameters: [] }) as { parameters: { value: string }[] };
      expect(parameters.every(({ value }) => value === 'value')).toBe(true);
      expect(parameters.length + (end.log.missing as unknown[]).length).toBe(200);
    });

    function fifo(files: Layout, path: string): void {
      files.file(path, '');
      rmSync(join(files.root, path));
      execFileSync('mkfifo', [join(files.root, path)]);
    }

    /** Puts a link where the file was, to a place where it is all the same. */
    function link(files: Layout, path: string): void {
      files.exit(0);
      const elsewhere = join(files.mounts, 'elsewhere');
      renameSync(join(files.root, path), elsewhere);
      symlinkSync(elsewhere, join(files.root, path));
    }

    function hostileSet(files: Layout, name: unknown): void {
      files.template({ containerSet: { containers: [{ name }] } }).exit(0);
    }
  });

  describe('its own troubles', () => {
    it.each<[string, Record<string, string>]>([
      ['no address', { STEPMEMO_CAPTURE_URL: '' }],
      ['an address without TLS', { STEPMEMO_CAPTURE_URL: 'http://127.0.0.1:1' }],
      ['no certificate', { STEPMEMO_CAPTURE_CA: '' }],
    ])('ends with 0 at once with %s', async (_, env) => {
      const end = await start({ layout: layout(), url: 'https://127.0.0.1:1', env }).ended;
      expect(end).toMatchObject({ code: 0, log: { outcome: 'misconfigured' } });
    });

    it('trusts nobody when its certificate cannot be read', async () => {
      const ca = '-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n';
      const { posts, url } = await endpoint();
      const end = await start({ layout: layout().declares().exit(0), url, ca }).ended;
      expect(end).toMatchObject({ code: 0, log: { outcome: 'not-sent' } });
      expect(posts).toEqual([]);
    });

    it.each(['', 'two\nlines', 'no\u0000zero'])('sends nothing with a token that is none: %j', async (token) => {
      const files = layout().declares().exit(0);
      writeFileSync(files.token, token);
      const { posts, log } = await runOn(files);
      expect(posts).toEqual([]);
      expect(log).toMatchObject({ outcome: 'not-sent', message: 'there is no token' });
    });

    it('ends with a code that is turned into 0 when V8 runs out of memory', async () => {
      const files = layout().file('template', `[${'[],'.repeat(600_000)}[]]`);
      const sidecar = start({ layout: files, url: 'https://127.0.0.1:1', nodeFlags: ['--max-old-space-size=4'] });
      const { code, signal } = await sidecar.ended;
      // What a shell or tini makes of a signal.
      const seen = signal === null ? code : 128 + constants.signals[signal];
      expect(seen).not.toBe(0);
      expect(FORGIVEN_EXIT_CODES).toContain(seen);
    });

    it('writes no file, and a log without a value or the token', async () => {
      const files = layout().template(containerTemplate('/tmp/a')).output('/tmp/a', 'secret value').exit(0);
      const before = readdirSync(files.root, { recursive: true });
      const { output } = await runOn(files);
      expect(readdirSync(files.root, { recursive: true })).toEqual(before);
      expect(output.trim().split('\n')).toHaveLength(2);
      expect(output).not.toMatch(/secret value|the-token/);
    });
  });
});
