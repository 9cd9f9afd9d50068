import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../../src/base/log.ts';
import { createCaptureApp } from '../../src/capture/endpoint.ts';
import { createCaptureServer } from '../../src/capture/server.ts';
import type { CapturePost } from '../../src/capture/types.ts';
import { createKubeApi } from '../../src/kube/client.ts';
import { type KubeWatchApi, RESOURCES } from '../../src/kube/types.ts';
import { createAuthority } from '../unit/sidecar/certificates.ts';
import { buildSidecar, Layout, startSidecar } from '../unit/sidecar/harness.ts';
import { clusterInfo, createNamespace, kubeAs, must, type TestKube } from './harness.ts';

/*
 * The capture endpoint with the server's own account and its shipped rights, before a real API server: its TokenReviews say
 * who is who. Posts come from the real sidecar, as a process, with real tokens.
 */

const AUDIENCES = ['stepmemo'];
const authority = createAuthority('stepmemo');
const accepted: CapturePost[] = [];
let admin: TestKube;
let namespace: string;
let kube: KubeWatchApi;
let server: Server;
let url: string;
let program: Awaited<ReturnType<typeof buildSidecar>>;

beforeAll(async () => {
  namespace = await createNamespace();
  admin = await kubeAs('admin');
  kube = createKubeApi(clusterInfo().serverKubeconfig);
  const app = createCaptureApp({
    kube,
    sink: {
      accept: async (post) => {
        accepted.push(post);
        return { status: 200, message: 'taken' };
      },
    },
    config: { captureLimitBytes: 1024 * 1024 },
    log: createLog('fatal'),
  });
  server = createCaptureServer(authority.issue(['127.0.0.1']), app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  program = await buildSidecar();
});

afterAll(() => {
  server.close();
  kube.close();
  program.remove();
});

beforeEach(() => void accepted.splice(0));

async function createPod(name: string): Promise<{ name: string; uid: string }> {
  const pod = must(
    await admin.create(
      { resource: RESOURCES.pods, namespace },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name },
        spec: { serviceAccountName: 'default', containers: [{ name: 'main', image: 'work' }] },
      },
    ),
  );
  return { name, uid: pod.metadata?.uid ?? '' };
}

/** Lets the sidecar of a step that is done post with this token; answers its log line. */
async function postWith(token: string): Promise<Record<string, unknown>> {
  const layout = new Layout().declares('/tmp/out').output('/tmp/out', 'value\n').exit(0);
  writeFileSync(layout.token, token);
  try {
    const end = await startSidecar({ program: program.path, layout, url, ca: authority.cert }).ended;
    expect(end).toMatchObject({ code: 0, signal: null });
    return end.log;
  } finally {
    layout.remove();
  }
}

describe('the capture endpoint on a real API server', () => {
  it('knows a pod by the token that the kubelet would mount for it', async () => {
    const pod = await createPod('bound');
    const { token } = await admin.tokenOf(namespace, 'default', { audiences: AUDIENCES, boundTo: pod });
    expect(await postWith(token)).toMatchObject({ outcome: 'posted', status: 200, attempts: 1 });
    expect(accepted).toMatchObject([
      {
        namespace,
        podName: 'bound',
        podUid: pod.uid,
        account: `system:serviceaccount:${namespace}:default`,
        captured: { parameters: [{ name: 'out', value: 'value' }] },
      },
    ]);
  });

  it('refuses a token of the same account that is bound to no pod', async () => {
    const { token } = await admin.tokenOf(namespace, 'default', { audiences: AUDIENCES });
    expect(await postWith(token)).toMatchObject({ outcome: 'refused', status: 403 });
    expect(accepted).toEqual([]);
  });

  it("refuses a pod's ordinary token, which is for the API server", async () => {
    const { token } = await admin.tokenOf(namespace, 'default', { boundTo: await createPod('ordinary') });
    expect(await postWith(token)).toMatchObject({ outcome: 'refused', status: 401 });
    expect(accepted).toEqual([]);
  });

  it('refuses the token of a pod that is gone, and of its namesake too', async () => {
    const pod = await createPod('gone');
    const { token } = await admin.tokenOf(namespace, 'default', { audiences: AUDIENCES, boundTo: pod });
    must(await admin.remove({ resource: RESOURCES.pods, namespace, name: 'gone' }));
    expect(await postWith(token)).toMatchObject({ outcome: 'refused', status: 401 });
    await createPod('gone');
    expect(await postWith(token)).toMatchObject({ outcome: 'refused', status: 401 });
    expect(accepted).toEqual([]);
  });

  it('refuses a token that somebody changed, and one that is none', async () => {
    const pod = await createPod('forged');
    const { token } = await admin.tokenOf(namespace, 'default', { audiences: AUDIENCES, boundTo: pod });
    const [head, payload = '', signature] = token.split('.');
    const claims = Buffer.from(payload, 'base64url').toString().replaceAll(pod.uid, crypto.randomUUID());
    const forged = [head, Buffer.from(claims).toString('base64url'), signature].join('.');
    expect(await postWith(forged)).toMatchObject({ outcome: 'refused', status: 401 });
    expect(await postWith('none')).toMatchObject({ outcome: 'refused', status: 401 });
    expect(accepted).toEqual([]);
  });
});
