import fc from 'fast-check';
import jsonpatch from 'jsonpatch';
import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../../src/kube/types.ts';
import { SIDECAR_COMMAND } from '../../../src/sidecar/command.ts';
import { judgePod } from '../../../src/step/decide-pod.ts';
import type { KnownCluster } from '../../../src/step/known-cluster.ts';
import {
  buildPod,
  CONTAINER,
  LAYOUTS,
  MANAGED,
  MEMOIZE,
  OUT,
  PLAIN_TEMPLATE,
  type PodOptions,
} from '../../support/argo-pod.ts';
import { buildCluster, buildEntry, CONTROLLER, NATIVE, NOW, SETTINGS } from './builders.ts';

type Json = Record<string, unknown>;
interface Spec {
  containers: Json[];
  volumes: Json[];
  schedulingGates?: Json[];
  [member: string]: unknown;
}

function judge(
  pod: KubeObject,
  cluster: KnownCluster = buildCluster(),
  creator = CONTROLLER,
): ReturnType<typeof judgePod> {
  return judgePod({ pod, creator, cluster, settings: SETTINGS, now: NOW });
}

function apply(pod: KubeObject, cluster?: KnownCluster, creator?: string): KubeObject {
  const before = structuredClone(pod);
  const patched = jsonpatch.apply_patch(before, [...judge(pod, cluster, creator).patch]) as KubeObject;
  return patched;
}

const spec = (pod: KubeObject): Spec => pod.spec as Spec;
const annotations = (pod: KubeObject): Json => (pod.metadata?.annotations ?? {}) as Json;
const capture = (pod: KubeObject): Json | undefined =>
  spec(pod).containers.find(({ name }) => name === 'stepmemo-capture');
const HIT = buildCluster({ entry: buildEntry() });
const managed = (options: PodOptions = {}): ReturnType<typeof buildPod> =>
  buildPod({ annotations: MANAGED, ...options });

describe('the patch of a hit', () => {
  it('adds the gate and says why, and nothing else', () => {
    const pod = managed();
    expect(judge(pod, HIT).patch).toEqual([
      { op: 'add', path: '/metadata/annotations/stepmemo.io~1decision', value: 'hit' },
      { op: 'add', path: '/metadata/annotations/stepmemo.io~1reason', value: 'fresh-entry' },
      { op: 'add', path: '/spec/schedulingGates', value: [{ name: 'stepmemo.io/hit' }] },
    ]);
  });

  it('leaves the gates of others where they are', () => {
    const pod = managed({
      spec: { schedulingGates: [{ name: 'kueue.x-k8s.io/admission' }, { name: 'stepmemo.io/miss' }] },
    });
    expect(spec(apply(pod, HIT)).schedulingGates).toEqual([
      { name: 'kueue.x-k8s.io/admission' },
      { name: 'stepmemo.io/hit' },
    ]);
  });

  it('writes down in native mode what was in force, where the pod does not say so itself', () => {
    const template = { ...PLAIN_TEMPLATE, memoize: MEMOIZE };
    const pod = buildPod({ template, annotations: { 'stepmemo.io/max-age': '2h' } });
    const patched = apply(pod, buildCluster({ entry: buildEntry(), settings: NATIVE }));
    expect(annotations(patched)).toMatchObject({
      'stepmemo.io/key': 'k',
      'stepmemo.io/cache': 'cache',
      'stepmemo.io/max-age': '2h',
    });
  });

  it('takes a sidecar away that an earlier pass has added', () => {
    expect(apply(apply(managed()), HIT)).toEqual(apply(managed(), HIT));
  });
});

describe('the patch of a miss', () => {
  it('appends the container and the volume', () => {
    const pod = managed({ userSidecars: ['web'] });
    const patched = apply(pod);
    expect(spec(patched).containers.map(({ name }) => name)).toEqual(['wait', 'main', 'web', 'stepmemo-capture']);
    expect(spec(patched).volumes.at(-1)).toEqual({
      name: 'stepmemo-token',
      projected: {
        sources: [{ serviceAccountToken: { audience: 'stepmemo', expirationSeconds: 3600, path: 'token' } }],
        defaultMode: 0o444,
      },
    });
    expect(spec(patched)).not.toHaveProperty('schedulingGates');
    expect(annotations(patched)).toMatchObject({ 'stepmemo.io/decision': 'miss', 'stepmemo.io/reason': 'no-entry' });
  });

  it('makes a container that a restricted namespace admits', () => {
    expect(capture(apply(managed()))).toEqual({
      name: 'stepmemo-capture',
      image: 'stepmemo:local',
      imagePullPolicy: 'IfNotPresent',
      command: SIDECAR_COMMAND,
      env: [
        { name: 'STEPMEMO_CAPTURE_URL', value: SETTINGS.sidecar.captureUrl },
        { name: 'STEPMEMO_CAPTURE_CA', value: SETTINGS.sidecar.caBundle },
      ],
      resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { cpu: '500m', memory: '128Mi' } },
      volumeMounts: [
        { name: 'var-run-argo', mountPath: '/var/run/argo', readOnly: true },
        { name: 'stepmemo-token', mountPath: '/var/run/secrets/stepmemo.io', readOnly: true },
        { name: 'stepmemo-token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true },
      ],
      securityContext: {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        readOnlyRootFilesystem: true,
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      terminationMessagePath: '/dev/termination-log',
      terminationMessagePolicy: 'File',
    });
  });

  it.each([
    [0, 65532],
    [1000, undefined],
    [undefined, undefined],
  ])('sets a user only where the pod says root (%s)', (runAsUser, expected) => {
    const securityContext = runAsUser === undefined ? {} : { runAsUser };
    const container = capture(apply(managed({ spec: { securityContext } }))) as { securityContext: Json };
    expect(container.securityContext.runAsUser).toBe(expected);
  });

  it('asks for the result where the step must report one', () => {
    const env = capture(apply(managed({ needsResult: true })))?.env;
    expect(env).toContainEqual({ name: 'STEPMEMO_NEEDS_RESULT', value: 'true' });
  });

  it('adds no sidecar when the server captures, or nobody', () => {
    for (const way of ['server', 'off']) {
      const pod = managed({ annotations: { ...MANAGED, 'stepmemo.io/capture': way } });
      expect(judge(pod).patch.map(({ path }) => path)).toEqual([
        '/metadata/annotations/stepmemo.io~1decision',
        '/metadata/annotations/stepmemo.io~1reason',
      ]);
    }
  });

  it('makes the map of annotations only where there is none', () => {
    const pod = buildPod({ template: { ...PLAIN_TEMPLATE, memoize: MEMOIZE } });
    const patch = judge(pod, buildCluster({ settings: NATIVE })).patch;
    expect(patch.map(({ path }) => path)).not.toContain('/metadata/annotations');
  });

  it('mounts for the sidecar what outputs lie in, read-only', () => {
    const template = {
      outputs: {
        parameters: [
          { name: 'a', valueFrom: { path: '/work/deep/a' } },
          { name: 'b', valueFrom: { path: '/work/b' } },
          { name: 'c', valueFrom: { path: '/tmp/c' } },
          { name: 'd', valueFrom: { path: '/data/d' } },
        ],
      },
      container: {
        ...CONTAINER,
        volumeMounts: [
          { name: 'work', mountPath: '/work/' },
          { name: 'data', mountPath: '/data', subPath: 'sub', mountPropagation: 'None' },
          { name: 'unused', mountPath: '/unused' },
        ],
      },
    };
    expect(((capture(apply(managed({ template }))) as Json).volumeMounts as Json[]).slice(3)).toEqual([
      { name: 'work', mountPath: '/mainctrfs/work', readOnly: true },
      { name: 'data', mountPath: '/mainctrfs/data', subPath: 'sub', readOnly: true },
    ]);
  });
});

describe('a pod that is better left without a sidecar', () => {
  const output = (path: string): Json => ({ parameters: [{ name: 'out', valueFrom: { path } }] });
  const mounted = (volumeMounts: Json[], path = '/work/out'): PodOptions => ({
    template: { outputs: output(path), container: { ...CONTAINER, volumeMounts } },
  });
  const limits = { requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '1', memory: '1Gi' } };

  it.each<[string, PodOptions, (pod: KubeObject) => void, RegExp]>([
    ['Windows', { spec: { os: { name: 'windows' } } }, () => {}, /"windows"/],
    ['a Windows node', { spec: { nodeSelector: { 'kubernetes.io/os': 'windows' } } }, () => {}, /"windows"/],
    ['resources of its own', { spec: { resources: { limits: { cpu: '1' } } } }, () => {}, /spec\.resources/],
    [
      'a container of that name',
      { userSidecars: ['stepmemo-capture'] },
      () => {},
      /container stepmemo-capture already/,
    ],
    [
      'a volume of that name',
      { spec: { volumes: [{ name: 'var-run-argo' }, { name: 'stepmemo-token', emptyDir: {} }] } },
      () => {},
      /volume stepmemo-token already/,
    ],
    ['no shared directory', { spec: { volumes: [] } }, () => {}, /no volume var-run-argo/],
    [
      'a mount with subPathExpr',
      mounted([{ name: 'work', mountPath: '/work', subPathExpr: '$(X)' }]),
      () => {},
      /subPathExpr/,
    ],
    [
      'mounts within each other',
      {
        template: {
          outputs: { parameters: [output('/work/a'), output('/work/sub/b')].flatMap(({ parameters }) => parameters) },
          container: {
            ...CONTAINER,
            volumeMounts: [
              { name: 'a', mountPath: '/work' },
              { name: 'b', mountPath: '/work/sub' },
            ],
          },
        },
      },
      () => {},
      /within each other/,
    ],
    [
      'a mount that main lost',
      mounted([{ name: 'work', mountPath: '/work' }]),
      (pod) => {
        const main = spec(pod).containers[1] as Json;
        main.volumeMounts = [{ name: 'var-run-argo', mountPath: '/var/run/argo' }];
      },
      /main does not have/,
    ],
    [
      'CPUs of its own',
      {},
      (pod) => {
        for (const container of [...spec(pod).containers, ...(spec(pod).initContainers as Json[])])
          container.resources = limits;
      },
      /CPUs of its own/,
    ],
    [
      'no executor beside main',
      { isOffloaded: true },
      (pod) => {
        spec(pod).containers.shift();
      },
      /no container wait or supervisor/,
    ],
  ])('%s', (_, options, change, message) => {
    const pod = managed(options);
    change(pod);
    const verdict = judge(pod);
    expect(verdict.decision).toBe('miss');
    expect(verdict.message).toMatch(message);
    expect(verdict.patch.map(({ path }) => path)).toEqual([
      '/metadata/annotations/stepmemo.io~1decision',
      '/metadata/annotations/stepmemo.io~1reason',
    ]);
  });
});

it('a pod whose class alone would change gets its sidecar', () => {
  const pod = managed();
  const resources = { limits: { cpu: '500m', memory: '1Gi' }, requests: { cpu: '0.5' } };
  for (const container of [...spec(pod).containers, ...(spec(pod).initContainers as Json[])]) {
    container.resources = resources;
  }
  expect(capture(apply(pod))).toBeDefined();
});

describe('the patch of a skip', () => {
  const BROUGHT = {
    'stepmemo.io/decision': 'hit',
    'stepmemo.io/reason': 'fresh-entry',
    'stepmemo.io/outputs-digest': 'abc',
    'stepmemo.io/moved-from': 'memoize',
  };

  it('is empty for a pod that brings nothing of ours', () => {
    expect(judge(buildPod()).patch).toEqual([]);
    expect(judge({ kind: 'Pod', spec: {} }).patch).toEqual([]);
  });

  it('removes decisions and gates that the pod brought along, and nothing else', () => {
    const gates = [{ name: 'stepmemo.io/hit' }, { name: 'other' }, { name: 'stepmemo.io/miss' }];
    const pod = buildPod({
      annotations: BROUGHT,
      userSidecars: ['stepmemo-capture'],
      spec: { schedulingGates: gates },
    });
    const expected = buildPod({
      annotations: { 'stepmemo.io/moved-from': 'memoize' },
      userSidecars: ['stepmemo-capture'],
      spec: { schedulingGates: [{ name: 'other' }] },
    });
    expect(apply(pod)).toEqual(expected);
  });

  it('removes the list of gates when none is left', () => {
    const pod = buildPod({ spec: { schedulingGates: [{ name: 'stepmemo.io/hit' }, { name: 'stepmemo.io/hit' }] } });
    expect(apply(pod)).toEqual(buildPod());
  });

  it('strips a pod of somebody else, too', () => {
    const pod = managed({
      annotations: { ...MANAGED, ...BROUGHT },
      spec: { schedulingGates: [{ name: 'stepmemo.io/hit' }] },
    });
    const patched = apply(pod, HIT, 'system:serviceaccount:team-a:default');
    expect(spec(patched)).not.toHaveProperty('schedulingGates');
    expect(annotations(patched)).not.toHaveProperty(['stepmemo.io/decision']);
  });
});

/** What the API server and its plugins do to a pod after our patch, before they ask again. */
function setDefaults(pod: KubeObject): KubeObject {
  const defaulted = structuredClone(pod);
  for (const container of spec(defaulted).containers) {
    container.terminationMessagePath ??= '/dev/termination-log';
    container.imagePullPolicy ??= 'Always';
    container.volumeMounts = [...(container.volumeMounts as Json[]), { name: 'proxy', mountPath: '/etc/proxy' }];
    container.env = [{ name: 'INJECTED', value: '1' }, ...(container.env as Json[]), { name: 'EMPTY' }];
    const resources = container.resources as { limits?: Json };
    if (resources.limits) resources.limits.cpu = '0.5';
  }
  return defaulted;
}

describe('a second pass', () => {
  it.each(LAYOUTS)('changes nothing on a pod of %s, defaulted or not', (layout) => {
    for (const cluster of [buildCluster(), HIT, buildCluster({ isSynced: false })]) {
      const patched = apply(managed({ layout }), cluster);
      expect(judge(patched, cluster).patch).toEqual([]);
      expect(judge(setDefaults(patched), cluster).patch).toEqual([]);
    }
  });

  it('makes a sidecar right that is not as it must be, in its place', () => {
    const patched = apply(managed());
    const tamper: ((container: Json) => void)[] = [
      (container) => Object.assign(container, { image: 'other' }),
      (container) => Object.assign(container, { command: ['sh'] }),
      (container) => Object.assign(container, { args: ['x'] }),
      (container) => Object.assign(container.securityContext as Json, { allowPrivilegeEscalation: true }),
      (container) => Object.assign((container.env as Json[])[1] as Json, { value: 'old' }),
      (container) => (container.volumeMounts as Json[]).pop(),
    ];
    for (const change of tamper) {
      const changed = structuredClone(patched);
      change(capture(changed) as Json);
      spec(changed).containers.push({ name: 'late' });
      const mended = apply(changed);
      expect(capture(mended)).toEqual(capture(patched));
      expect(spec(mended).containers.at(-1)).toEqual({ name: 'late' });
    }
  });

  it('keeps one of two sidecars', () => {
    const patched = apply(managed());
    spec(patched).containers.push(structuredClone(capture(patched)) as Json);
    expect(spec(apply(patched)).containers.filter(({ name }) => name === 'stepmemo-capture')).toHaveLength(1);
  });
});

// ---- properties

const name = fc.constantFrom('main', 'wait', 'stepmemo-capture', 'web', 'stepmemo-token', 'stepmemo.io/hit', 'other');
const annotationMap = fc.dictionary(
  fc.constantFrom('stepmemo.io/decision', 'stepmemo.io/reason', 'stepmemo.io/key', 'stepmemo.io/capture', 'a/b~c'),
  fc.constantFrom('hit', 'miss', 'server', 'off', 'x', '{{x}}'),
);
const podOptions = fc.record({
  layout: fc.constantFrom(...LAYOUTS),
  annotations: fc
    .tuple(annotationMap, fc.boolean())
    .map(([map, isMemoized]) => ({ ...map, ...(isMemoized ? MANAGED : {}) })),
  userSidecars: fc.uniqueArray(name, { maxLength: 3 }),
  needsResult: fc.boolean(),
  isOffloaded: fc.boolean(),
  template: fc.constantFrom<Json>(
    PLAIN_TEMPLATE,
    { ...PLAIN_TEMPLATE, memoize: MEMOIZE },
    { ...PLAIN_TEMPLATE, daemon: true },
    { data: {}, outputs: {} },
    { outputs: OUT, container: { ...CONTAINER, volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }] } },
  ),
  spec: fc.record(
    {
      schedulingGates: fc.array(
        name.map((gate) => ({ name: gate })),
        { maxLength: 4 },
      ),
      nodeName: fc.constantFrom('', 'n1'),
      securityContext: fc.constantFrom({ runAsUser: 0 }, { runAsUser: 1000 }),
    },
    { requiredKeys: [] },
  ),
});
const anyView = fc
  .record({
    isSynced: fc.boolean(),
    isSidecarUsable: fc.boolean(),
    isHit: fc.boolean(),
    settings: fc.constantFrom(NATIVE, { ...NATIVE, memoize: 'managed' as const }, { ...NATIVE, isEnabled: false }),
  })
  .map(({ isHit, ...others }) => buildCluster({ ...others, ...(isHit ? { entry: buildEntry() } : {}) }));

/** The pod without anything that is stepmemo's to change. */
function strip(pod: KubeObject): unknown {
  const stripped = structuredClone(pod) as unknown as { metadata: { annotations: Json }; spec: Spec };
  for (const key of Object.keys(stripped.metadata.annotations)) {
    if (key.startsWith('stepmemo.io/')) delete stripped.metadata.annotations[key];
  }
  const { schedulingGates = [], ...others } = stripped.spec;
  const foreign = schedulingGates.filter(({ name: gate }) => !String(gate).startsWith('stepmemo.io/'));
  const isOurs = ({ env, name: own }: Json): boolean =>
    own === 'stepmemo-capture' && (env as Json[]).some((entry) => entry.name === 'STEPMEMO_CAPTURE_URL');
  return {
    ...stripped,
    spec: {
      ...others,
      foreign,
      containers: others.containers.filter((container) => !isOurs(container)),
      volumes: others.volumes.filter((volume) => volume.name !== 'stepmemo-token'),
    },
  };
}

/** A copy with one place replaced; the numbers choose a member on each level, as deep as there are any. */
function disturb(json: unknown, path: readonly number[], value: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined || typeof json !== 'object' || json === null) return value;
  const keys = Object.keys(json);
  const key = keys[step % Math.max(keys.length, 1)];
  if (key === undefined) return value;
  const changed = disturb((json as Json)[key], rest, value);
  if (Array.isArray(json)) return json.with(Number(key), changed);
  return { ...json, [key]: changed };
}

describe('whatever the pod and the cluster are like', () => {
  it('the patch applies, a second pass is empty, and nothing else is changed', () => {
    fc.assert(
      fc.property(podOptions, anyView, (options, cluster) => {
        const pod = buildPod(options);
        const patched = apply(pod, cluster);
        expect(judge(patched, cluster).patch).toEqual([]);
        expect(judge(setDefaults(patched), cluster).patch).toEqual([]);
        expect(strip(patched)).toEqual(strip(pod));
      }),
      { numRuns: 300 },
    );
  });

  it('two views after each other leave what the second one alone would have made', () => {
    fc.assert(
      fc.property(podOptions, anyView, anyView, (options, first, second) => {
        const pod = buildPod({ ...options, userSidecars: [] });
        const both = apply(apply(pod, first), second);
        expect(judge(both, second).patch).toEqual([]);
        expect(strip(both)).toEqual(strip(pod));
      }),
    );
  });

  it('nothing throws on a pod of any shape', () => {
    const skeleton = buildPod({ annotations: MANAGED });
    const anything = fc.jsonValue() as fc.Arbitrary<unknown>;
    const disturbed = fc
      .tuple(fc.array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 6 }), anything)
      .map(([path, value]) => disturb(skeleton, path, value) as KubeObject);
    const broken = fc.oneof(
      anything.map((value) => value as KubeObject).filter((value) => typeof value === 'object' && value !== null),
      disturbed,
    );
    fc.assert(
      fc.property(broken, anyView, (pod, cluster) => {
        const verdict = judge(pod, cluster);
        expect(['hit', 'miss', 'skip']).toContain(verdict.decision);
        expect(judge(apply(pod, cluster), cluster).patch).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });
});
