import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { createCaptureApp } from '../../../src/capture/endpoint.ts';
import { createCaptureServer } from '../../../src/capture/server.ts';
import type { CapturePost } from '../../../src/capture/types.ts';
import { createAuthority } from '../sidecar/certificates.ts';
import { buildSidecar, Layout, startSidecar } from '../sidecar/harness.ts';
import { FakeKube, GOOD_TOKEN } from './fake-kube.ts';

it('takes over TLS what the real sidecar sends', { timeout: 30_000 }, async () => {
  const authority = createAuthority('stepmemo');
  const accepted: CapturePost[] = [];
  let foreign = 0;
  const app = createCaptureApp({
    kube: new FakeKube(),
    sink: {
      accept: async (post) => {
        accepted.push(post);
        return { status: 200, message: 'taken' };
      },
    },
    config: { captureLimitBytes: 1024 * 1024 },
    log: pino({ level: 'silent' }),
    metrics: {
      captureRequest: () => undefined,
      foreignSidecar: () => {
        foreign += 1;
      },
    },
  });
  const server = createCaptureServer(authority.issue(['127.0.0.1']), app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { path: program, remove } = await buildSidecar();
  const layout = new Layout().declares('/tmp/a').output('/tmp/a', 'ä "quoted"\u0000\n').exit(0);
  writeFileSync(layout.token, GOOD_TOKEN);
  try {
    const url = `https://127.0.0.1:${port}`;
    const end = await startSidecar({ program, layout, url, ca: authority.cert }).ended;
    expect(end).toMatchObject({ code: 0, log: { outcome: 'posted', message: 'taken' } });
    expect(accepted).toMatchObject([
      { podUid: 'uid-1', captured: { parameters: [{ name: 'a', value: 'ä "quoted"\u0000' }] } },
    ]);
    expect(foreign).toBe(0);
  } finally {
    server.close();
    layout.remove();
    remove();
  }
});
