import { describe, expect, it } from 'vitest';
import { decidePod } from '../../../src/step/decide-pod.ts';
import { findForeignPlatform } from '../../../src/step/platforms.ts';
import { buildPod, MANAGED } from '../../support/argo-pod.ts';
import { buildCluster, CONTROLLER, NOW, SETTINGS } from './builders.ts';

const AMD = ['linux/amd64'];
const BOTH = ['linux/amd64', 'linux/arm64'];
const podWith = (spec: Record<string, unknown>) => ({ spec });
const term = (key: string, operator: string, ...values: string[]) => ({
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key, operator, values }] }],
      },
    },
  },
});
const ARCH = 'kubernetes.io/arch';

describe('an image', () => {
  it.each<[string, Record<string, unknown>, readonly string[]]>([
    ['a pod that says nothing', {}, AMD],
    ['its own architecture', { nodeSelector: { [ARCH]: 'amd64' } }, AMD],
    ['one of several', { nodeSelector: { [ARCH]: 'arm64' } }, BOTH],
    ['all that are allowed', term(ARCH, 'In', 'amd64', 'arm64'), BOTH],
    ['what excludes another', term(ARCH, 'NotIn', 'arm64'), AMD],
    ['other labels', { nodeSelector: { disk: 'arm64' } }, AMD],
    ['Linux by name', { os: { name: 'linux' } }, AMD],
    [
      'a preference alone',
      { affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } } },
      AMD,
    ],
  ])('runs with %s', (_, spec, platforms) => {
    expect(findForeignPlatform(podWith(spec), platforms)).toBeUndefined();
  });

  it.each<[string, Record<string, unknown>, readonly string[], string]>([
    ['another architecture', { nodeSelector: { [ARCH]: 'arm64' } }, AMD, `${ARCH} "arm64"`],
    ['the old label', { nodeSelector: { 'beta.kubernetes.io/arch': 'arm64' } }, AMD, 'beta.kubernetes.io/arch "arm64"'],
    ['another system', { nodeSelector: { 'kubernetes.io/os': 'windows' } }, BOTH, 'kubernetes.io/os "windows"'],
    ['another system by name', { os: { name: 'windows' } }, AMD, 'kubernetes.io/os "windows"'],
    ['one that is allowed beside its own', term(ARCH, 'In', 'amd64', 's390x'), BOTH, `${ARCH} "s390x"`],
    ['its own excluded', term(ARCH, 'NotIn', 'amd64'), AMD, `${ARCH} other than "amd64"`],
  ])('does not run with %s', (_, spec, platforms, why) => {
    expect(findForeignPlatform(podWith(spec), platforms)).toBe(`the pod may run on nodes with ${why}`);
  });

  it('is not put beside a step on foreign nodes: that is captured by the server', () => {
    const pod = buildPod({ annotations: MANAGED, spec: { nodeSelector: { [ARCH]: 'arm64' } } });
    const decision = decidePod({ pod, creator: CONTROLLER, cluster: buildCluster(), settings: SETTINGS, now: NOW });
    expect(decision).toMatchObject({
      decision: 'miss',
      capture: { way: 'server' },
      message: expect.stringContaining('its image is for linux/amd64'),
    });
  });
});
