import { readFileSync } from 'node:fs';
import jsonpatch from 'jsonpatch';
import { beforeAll, describe, expect, test } from 'vitest';
import type { KubeObject } from '../../src/kube/types.ts';
import { judgePod } from '../../src/step/decide-pod.ts';
import type { Verdict } from '../../src/step/decision.ts';
import type { LimitRangeItem } from '../../src/step/known-cluster.ts';
import { readReviews, toManaged } from '../golden/recorded.ts';
import { MANAGED } from '../support/argo-pod.ts';
import { buildCluster, CONTROLLER, SETTINGS } from '../unit/step/builders.ts';
import { type Answer, createNamespace, kubeAs, kubeAsController, type TestKube, waitFor } from './harness.ts';

/*
 * What the patches make of recorded pods is taken by a real API server, as a dry run of the controller's account. The
 * namespaces have not opted in, so no webhook has a hand in it. What comes back is defaulted, and went through the
 * ServiceAccount and LimitRanger plugins: decided once more, it has to stay as it is.
 */

type Json = Record<string, unknown>;
interface Spec {
  containers: Json[];
  initContainers: Json[];
  [member: string]: unknown;
}

type Expected = Record<'managed' | 'native', Record<'miss' | 'hit', Verdict>>;

const EXPECTED = new URL('../golden/expected/', import.meta.url).pathname;
const PODS = readReviews(/\.pod-\d+\.json$/);
const NOW = new Date('2026-11-24T18:00:05Z');

let admin: TestKube;
let controller: TestKube;

beforeAll(async () => {
  [admin, controller] = await Promise.all([kubeAs('admin'), kubeAsController()]);
});

function tryToCreate(namespace: string, pod: KubeObject): Promise<Answer> {
  const { uid: _, resourceVersion: __, creationTimestamp: ___, ...metadata } = pod.metadata ?? {};
  const body = { ...pod, metadata: { ...metadata, namespace }, status: undefined };
  return controller.request('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All`, body);
}

function apply(pod: KubeObject, { patch }: Pick<Verdict, 'patch'>): KubeObject {
  return jsonpatch.apply_patch(structuredClone(pod), [...patch]) as KubeObject;
}

function judge(pod: KubeObject, items: readonly LimitRangeItem[] = []): Verdict {
  const cluster = buildCluster({ limitRanges: () => items });
  return judgePod({ pod, creator: CONTROLLER, cluster, settings: SETTINGS, now: NOW });
}

describe('golden pods', () => {
  let namespace: string;
  beforeAll(async () => {
    namespace = await createNamespace({ isEnabled: false });
  });

  test.each(PODS.map((recorded) => [recorded.path, recorded] as const))('%s', async (path, recorded) => {
    const expected = JSON.parse(readFileSync(`${EXPECTED}${path}`, 'utf8')) as Expected;
    const hit = await tryToCreate(namespace, apply(recorded.request.object, expected.native.hit));
    expect(hit.status, String(hit.body.message)).toBe(201);
    const miss = await tryToCreate(namespace, apply(toManaged(recorded), expected.managed.miss));
    expect(miss.status, String(miss.body.message)).toBe(201);
    expect(judge(miss.body).patch, 'a second pass over what the API server made of it').toEqual([]);
  });
});

/** A recorded step that keeps to the `restricted` standard in every container, with more added. */
function restrictedPod(change: (spec: Spec) => void = () => {}): KubeObject {
  const recorded = PODS.find(({ path }) => path === 'argo-4.0.5/hardened.pod-1.json');
  if (recorded === undefined) throw new Error('the hardened pod is not recorded');
  const pod = toManaged(recorded);
  Object.assign(pod.metadata?.annotations ?? {}, MANAGED);
  const spec = pod.spec as Spec;
  for (const container of [...spec.containers, ...spec.initContainers]) {
    container.securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  }
  change(spec);
  return pod;
}

describe('in a namespace that enforces the restricted standard', () => {
  let namespace: string;
  beforeAll(async () => {
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    namespace = await createNamespace({ isEnabled: false, labels });
  });

  test.each<[string, (spec: Spec) => void]>([
    ["the user of the pod's own choice", () => {}],
    ['the user of the image', (spec) => Object.assign(spec.securityContext as Json, { runAsUser: undefined })],
  ])('a sidecar with %s is admitted', async (_, change) => {
    const pod = restrictedPod(change);
    expect((await tryToCreate(namespace, pod)).status).toBe(201);
    const patched = apply(pod, judge(pod));
    expect((patched.spec as Spec).containers.map(({ name }) => name)).toContain('stepmemo-capture');
    const answer = await tryToCreate(namespace, patched);
    expect(answer.status, String(answer.body.message)).toBe(201);
  });
});

describe('in a namespace with LimitRanges', () => {
  const items: LimitRangeItem[] = [
    {
      type: 'Container',
      min: { cpu: '50m', memory: '100Mi', 'ephemeral-storage': '8Mi' },
      max: { cpu: '400m', memory: '120Mi', 'ephemeral-storage': '1Gi' },
      maxLimitRequestRatio: { cpu: '4' },
    },
    { type: 'Pod', max: { cpu: '1', memory: '350Mi' } },
  ];
  const withResources = (spec: Spec): void => {
    for (const container of [...spec.containers, ...spec.initContainers]) {
      const amounts = { cpu: '300m', memory: '110Mi', 'ephemeral-storage': '10Mi' };
      container.resources = { requests: amounts, limits: amounts };
    }
  };
  let namespace: string;

  beforeAll(async () => {
    namespace = await createNamespace({ isEnabled: false });
    const path = `/api/v1/namespaces/${namespace}/limitranges`;
    await admin.require('POST', path, { metadata: { name: 'limits' }, spec: { limits: items } });
    // The plugin reads from a watch of its own.
    await waitFor(async () => (await tryToCreate(namespace, patchedWith([]))).status === 403, {
      what: 'a sidecar that ignores the LimitRange to be refused',
    });
  });

  function patchedWith(known: readonly LimitRangeItem[]): KubeObject {
    const pod = restrictedPod(withResources);
    return apply(pod, judge(pod, known));
  }

  test('a sidecar is made to fit them, and the pod is admitted', async () => {
    const patched = patchedWith(items);
    expect((patched.spec as Spec).containers.map(({ name }) => name)).toContain('stepmemo-capture');
    const answer = await tryToCreate(namespace, patched);
    expect(answer.status, String(answer.body.message)).toBe(201);
    expect(judge(answer.body, items).patch).toEqual([]);
  });

  test('where none fits the pod goes without, and is admitted', async () => {
    const pod = restrictedPod((spec) => {
      withResources(spec);
      // Three containers of 110Mi leave 20Mi for a fourth.
      spec.containers.push({ ...spec.containers[0], name: 'more' });
    });
    const verdict = judge(pod, items);
    expect(verdict.message).toMatch(/LimitRanges/);
    const patched = apply(pod, verdict);
    expect((patched.spec as Spec).containers.map(({ name }) => name)).not.toContain('stepmemo-capture');
    const answer = await tryToCreate(namespace, patched);
    expect(answer.status, String(answer.body.message)).toBe(201);
  });
});
