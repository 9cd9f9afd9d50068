import { expect, it } from 'vitest';
import {
  formatVersion,
  isOlderThan,
  losesStepsOutputs,
  parseArgoVersion,
  versionOfControllers,
} from '../../../src/argo/versions.ts';

it.each([
  ['4.0.5', '4.0.5'],
  ['v3.4.17', '3.4.17'],
  [' v3.5.0-rc1 ', '3.5.0'],
  ['v4.1.2+build', '4.1.2'],
  ['latest', undefined],
  ['4.0', undefined],
  ['', undefined],
  ['4.0.5.1.x', '4.0.5'],
  ['sha256:00', undefined],
])('reads %s', (text, expected) => {
  const version = parseArgoVersion(text);
  expect(version && formatVersion(version)).toBe(expected);
});

it('knows what is older', () => {
  const version = { major: 3, minor: 5, patch: 0 };
  expect([
    isOlderThan(version, 3, 5, 0),
    isOlderThan(version, 3, 5, 1),
    isOlderThan(version, 4, 0, 0),
    isOlderThan(version, 3, 4, 99),
  ]).toEqual([false, true, true, false]);
});

it.each([
  ['3.5.1', false],
  ['3.5.2', true],
  ['3.6.19', true],
  ['3.7.17', true],
  ['3.7.18', false],
  ['4.0.8', true],
  ['4.0.9', false],
  ['4.1.0', false],
  ['3.4.17', false],
])('knows whether %s saves the outputs of steps templates as null', (text, expected) => {
  const version = parseArgoVersion(text);
  expect(version && losesStepsOutputs(version)).toBe(expected);
});

const pod = (image: string, name = 'workflow-controller', more: object = {}) => ({
  spec: { containers: [{ name, image, ...more }] },
  status: { phase: 'Running' },
});
const shown = (...pods: unknown[]) => {
  const reading = versionOfControllers(pods);
  return reading.known ? formatVersion(reading.version) : reading.detail;
};

it('reads the version of the running controller from its image', () => {
  expect(shown(pod('quay.io/argoproj/workflow-controller:v4.0.5'))).toBe('4.0.5');
  expect(shown(pod('localhost:5000/mirror/workflow-controller:v3.4.17@sha256:00', 'controller'))).toBe('3.4.17');
  expect(shown(pod('our/argo:v3.7.15', 'main', { command: ['/bin/workflow-controller'] }))).toBe('3.7.15');
  expect(shown(pod('quay.io/argoproj/argocli:v9.9.9', 'argo-server'), pod('x/workflow-controller:v4.0.5'))).toBe(
    '4.0.5',
  );
});

it('never guesses', () => {
  expect(shown()).toBe('no workflow controller was found');
  expect(shown(pod('x/workflow-controller:latest'))).toBe(
    'the image x/workflow-controller:latest has no version in its tag',
  );
  expect(shown(pod('x/workflow-controller@sha256:00'))).toContain('no version in its tag');
  expect(shown(pod('localhost:5000/workflow-controller'))).toContain('no version in its tag');
  expect(shown(pod('x/workflow-controller:v4.0.5'), pod('x/workflow-controller:v3.4.17'))).toBe(
    'workflow controllers of several versions run: 4.0.5, 3.4.17',
  );
});

it('does not count controllers that have ended', () => {
  const old = { ...pod('x/workflow-controller:v3.4.17'), status: { phase: 'Failed' } };
  expect(shown(old, pod('x/workflow-controller:v4.0.5'))).toBe('4.0.5');
});

it.each([null, 5, {}, { spec: null }, { spec: { containers: [null, 5, {}] } }])(
  'takes %j for no controller',
  (value) => {
    expect(shown(value)).toBe('no workflow controller was found');
  },
);
