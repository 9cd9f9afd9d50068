import { describe, expect, it } from 'vitest';
import {
  hasResultRace,
  isAtLeast,
  isBelow,
  parseImageVersion,
  readsOutputsAnnotation,
  versionOf,
} from '../../../src/argo/pod-version.ts';
import { versionFrom } from '../../../src/argo/versions.ts';
import { buildPod, LAYOUTS, type Layout } from '../../support/argo-pod.ts';

type Json = Record<string, unknown>;

describe('parseImageVersion', () => {
  it.each([
    ['quay.io/argoproj/argoexec:v4.0.5', '4.0.5'],
    ['argoexec:3.4.17', '3.4.17'],
    ['mirror.example:5000/argo/argoexec:v3.7.0-rc2', '3.7.0-rc2'],
    ['argoexec:v3.6.19-debian12', '3.6.19'],
    [`argoexec:v3.5.1@sha256:${'0'.repeat(64)}`, '3.5.1'],
  ])('reads %s', (image, text) => {
    expect(parseImageVersion(image)?.text).toBe(text);
  });

  it.each([
    'argoexec',
    'argoexec:latest',
    'argoexec:v4',
    `argoexec@sha256:${'0'.repeat(64)}`,
    'host:5000/argoexec',
    '',
  ])('finds none in %s', (image) => {
    expect(parseImageVersion(image)).toBeUndefined();
  });
});

describe('versionOf', () => {
  it.each(LAYOUTS)('reads the tag of the executor of %s', (layout) => {
    expect(versionOf(buildPod({ layout })).text).toBe(layout.replace('-initless', ''));
  });

  it.each<[Layout, string]>([
    ['3.4.17', '3.5.1 or earlier'],
    ['3.5.14', '3.5'],
    ['3.6.10', '3.6 or later'],
    ['4.0.5', '3.6 or later'],
    ['4.1.2', '4.1 or later'],
    ['4.1.2-initless', '4.1 or later'],
  ])('tells the shape of %s where the tag is hidden', (layout, text) => {
    const pod = buildPod({ layout });
    const spec = pod.spec as { containers: Json[]; initContainers: Json[] };
    for (const container of [...spec.containers, ...spec.initContainers]) container.image = 'mirror/argoexec@sha256:1';
    expect(versionOf(pod).text).toBe(text);
  });

  it('knows nothing of a pod that is none of Argo', () => {
    expect(versionOf({ spec: { containers: [{ name: 'main', image: 'busybox:1.36.1' }] } }).text).toBe('unknown');
  });
});

const version = (text: string) => parseImageVersion(`argoexec:v${text}`) ?? { text: 'unknown' };

describe('hasResultRace', () => {
  it.each(['3.4.17', '3.5.15', '3.6.0', '3.6.10', '3.7.0', '3.7.1', '3.7.2-rc1', '4.0.0-rc1', 'unknown'])(
    '%s has it',
    (text) => {
      expect(hasResultRace(version(text))).toBe(true);
    },
  );

  it.each(['3.6.11', '3.6.19', '3.7.2', '3.7.18', '4.0.0', '4.0.5', '4.1.2', '4.2.0-rc1'])('%s does not', (text) => {
    expect(hasResultRace(version(text))).toBe(false);
  });

  it('goes by the worst of what a shape may stand for', () => {
    expect(hasResultRace({ text: '3.6 or later', from: versionFrom(3, 6, 0) })).toBe(true);
    expect(hasResultRace({ text: '3.5.1 or earlier', to: versionFrom(3, 5, 1) })).toBe(true);
    expect(hasResultRace({ text: '4.1 or later', from: versionFrom(4, 1, 0) })).toBe(false);
  });
});

describe('ranges', () => {
  it('are compared by their worse end', () => {
    expect(isAtLeast(version('3.6.0'), 3, 6, 0)).toBe(true);
    expect(isAtLeast({ text: '', to: versionFrom(9, 0, 0) }, 3, 6, 0)).toBe(false);
    expect(isBelow(version('3.5.15'), 3, 6, 0)).toBe(true);
    expect(isBelow({ text: '', from: versionFrom(3, 4, 0) }, 3, 6, 0)).toBe(false);
  });

  it.each([
    ['3.4.17', true],
    ['3.5.15', true],
    ['3.6.0', false],
    ['4.0.5', false],
    ['unknown', false],
  ])('%s reads outputs from the pod: %s', (text, expected) => {
    expect(readsOutputsAnnotation(version(text))).toBe(expected);
  });
});
