import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNamespace, kubeAs, pointServiceAt, type ServerHandle, startServer, waitFor } from './harness.ts';
import type { TestKube } from './test-kube.ts';

/*
 * One of two replicas hangs: it takes connections and answers nothing. Whichever it is, a Workflow that is submitted meanwhile
 * has its memoize moved by the other.
 */
let admin: TestKube;
let namespace: string;
let server: ServerHandle;
let hung: Server;
const sockets = new Set<Socket>();
let hungTarget: { webhookPort: number; capturePort: number };

beforeAll(async () => {
  admin = await kubeAs('admin');
  namespace = await createNamespace();
  server = await startServer();
  hung = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  hung.listen(0, '0.0.0.0');
  await once(hung, 'listening');
  const { port } = hung.address() as { port: number };
  hungTarget = { webhookPort: port, capturePort: port };
  await waitFor(async () => (await submit()).includes('stepmemo.io/key'), { what: 'the namespace to be known' });
});

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  hung.close();
  for (const service of ['stepmemo', 'stepmemo-leader', 'stepmemo-followers']) await pointServiceAt([], service);
  await server.stop();
});

async function submit(): Promise<string> {
  const template = {
    name: 'a',
    memoize: { key: 'k', maxAge: '1h', cache: { configMap: { name: 'c' } } },
    outputs: { parameters: [{ name: 'o', valueFrom: { path: '/o' } }] },
    container: { image: 'busybox' },
  };
  const workflow = {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: { generateName: 'hung-', namespace },
    spec: { entrypoint: 'a', templates: [template] },
  };
  const url = `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/workflows?dryRun=All`;
  const { status, body } = await admin.request('POST', url, workflow);
  expect(status).toBe(201);
  return JSON.stringify(body);
}

describe.each(['leader', 'followers'])('while the replica behind stepmemo-%s hangs', (role) => {
  beforeAll(async () => {
    const other = role === 'leader' ? 'followers' : 'leader';
    await pointServiceAt([hungTarget]);
    await pointServiceAt([hungTarget], `stepmemo-${role}`);
    await pointServiceAt([server], `stepmemo-${other}`);
    sockets.clear();
    await waitFor(async () => (await submit()) !== '' && sockets.size > 0, { what: 'the hung replica to be called' });
  });

  it('no submission passes by', { timeout: 120_000 }, async () => {
    for (let round = 0; round < 4; round += 1) {
      const made = await Promise.all(Array.from({ length: 25 }, submit));
      expect(
        made.filter((workflow) => !workflow.includes('stepmemo.io/key') || workflow.includes('"memoize":')),
      ).toEqual([]);
    }
  });
});
