import { describe, expect, it } from 'vitest';
import type { Outputs } from '../../../src/argo/outputs.ts';
import { identifyStep } from '../../../src/argo/step.ts';
import { parseTemplate, type StepTemplate } from '../../../src/argo/template.ts';
import { type AssembleInput, assembleEntry } from '../../../src/capture/assemble-entry.ts';
import type { Captured } from '../../../src/sidecar/captured.ts';
import { digestOf } from '../../../src/sidecar/digest.ts';
import { buildPod, CONTAINER, type PodOptions } from '../../support/argo-pod.ts';
import { NOW } from '../step/builders.ts';

type Json = Record<string, unknown>;

const ARCHIVE = { s3: { endpoint: 'minio:9000', bucket: 'b', key: 'wf/wf-main-123456' } };
const DECLARED = { name: 'declared', path: '/d', s3: { endpoint: 'own:9000', bucket: 'own', key: 'by-key/d.txt' } };
const TEMPLATE: Json = {
  container: CONTAINER,
  archiveLocation: { ...ARCHIVE, archiveLogs: true },
  outputs: {
    parameters: [
      { name: 'p', valueFrom: { path: '/p' } },
      { name: 'd', valueFrom: { path: '/d', default: 'fallback\n' } },
    ],
    artifacts: [{ name: 'repo', path: '/r' }, DECLARED, { name: 'maybe', path: '/m', optional: true }],
  },
};
const VALUES = [
  { name: 'p', value: '1' },
  { name: 'd', value: 'fallback' },
];
const ARTIFACTS = [
  { name: 'repo', path: '/r', s3: { key: 'wf/wf-main-123456/repo.tgz' } },
  DECLARED,
  { name: 'main-logs', s3: { key: 'wf/wf-main-123456/main.log' } },
];
/** As the entry has them: each with the store that its key is of. */
const REPOSITORY = expect.stringMatching(/^[0-9a-f]{16}$/);
const STORED = ARTIFACTS.map((artifact) => ({ ...artifact, stepmemoStore: REPOSITORY }));
const REPORTED = { parameters: VALUES, artifacts: ARTIFACTS };
const CAPTURED: Captured = { parameters: VALUES };
const PARAMETERS_ALONE = { container: CONTAINER, outputs: { parameters: [{ name: 'p', valueFrom: { path: '/p' } }] } };

function assemble(
  input: Partial<AssembleInput>,
  options: PodOptions = { template: TEMPLATE },
): ReturnType<typeof assembleEntry> {
  const pod = buildPod(options);
  const identified = identifyStep(pod);
  if (!identified.ok) throw new Error(identified.message);
  return assembleEntry({ pod, step: identified.step, now: NOW, ...input });
}

function told(outputs: Json | undefined, isComplete = true): AssembleInput['taskResult'] {
  return { outputs: outputs as Outputs | undefined, isComplete };
}

function outputsOf(result: ReturnType<typeof assembleEntry>): unknown {
  return result.ok ? result.entry.outputs : result.reason;
}

describe('an optional artifact that was never stored', () => {
  it('is kept by name where the run reported it so (up to 3.4)', () => {
    const maybe = { name: 'maybe', path: '/m', optional: true };
    const result = assemble({ taskResult: told({ ...REPORTED, artifacts: [...ARTIFACTS, maybe] }) });
    expect(outputsOf(result)).toMatchObject({
      artifacts: expect.arrayContaining([{ name: 'maybe', path: '/m', optional: true }]),
    });
  });

  it('is left out where the run did not', () => {
    expect(JSON.stringify(outputsOf(assemble({ taskResult: told(REPORTED) })))).not.toContain('maybe');
  });
});

describe('assembleEntry', () => {
  const complete = {
    parameters: [
      { name: 'p', valueFrom: { path: '/p' }, value: '1' },
      { name: 'd', valueFrom: { path: '/d', default: 'fallback\n' }, value: 'fallback' },
    ],
    artifacts: STORED,
    exitCode: '0',
  };

  it("makes an entry in Argo's form from the sidecar's values and the task result's artifacts", () => {
    expect(assemble({ captured: CAPTURED, taskResult: told(REPORTED) })).toEqual({
      ok: true,
      entry: {
        nodeID: 'wf-123456',
        outputs: complete,
        creationTimestamp: '2026-11-24T12:00:00Z',
        lastHitTimestamp: '2026-11-24T12:00:00Z',
      },
    });
  });

  it('takes the task result alone where there is no sidecar', () => {
    expect(outputsOf(assemble({ taskResult: told(REPORTED) }))).toEqual(complete);
  });

  it("takes the sidecar's values alone where no artifact is declared and the task result is gone", () => {
    const captured = { parameters: [{ name: 'p', value: '1' }] };
    expect(outputsOf(assemble({ captured }, { template: PARAMETERS_ALONE }))).toMatchObject({ exitCode: '0' });
    expect(outputsOf(assemble({ captured: CAPTURED }))).toBe('capture-incomplete');
  });

  it.each<[string, Partial<AssembleInput>, string]>([
    ['nothing at all', {}, 'capture-lost'],
    ['a task result that has nothing to say yet', { taskResult: told(undefined, false) }, 'capture-lost'],
    ['a digest and no task result', { digest: digestOf(CAPTURED) }, 'capture-lost'],
    [
      'a digest of other values',
      { digest: digestOf({ parameters: [] }), taskResult: told(REPORTED) },
      'capture-mismatch',
    ],
    [
      'a value that differs',
      { captured: { parameters: [{ name: 'p', value: '2' }] }, taskResult: told(REPORTED) },
      'capture-mismatch',
    ],
    [
      'a value that the sidecar did not see',
      { captured: { parameters: [] }, taskResult: told(REPORTED) },
      'capture-incomplete',
    ],
    ['a value that nobody reported', { taskResult: told({ ...REPORTED, parameters: [] }) }, 'capture-incomplete'],
    [
      'an artifact that nobody reported',
      { captured: CAPTURED, taskResult: told({ parameters: VALUES, artifacts: [] }) },
      'capture-incomplete',
    ],
    [
      'an artifact whose upload failed',
      { taskResult: told({ ...REPORTED, artifacts: [{ name: 'repo' }, DECLARED] }) },
      'capture-incomplete',
    ],
    ['a complete result without outputs', { taskResult: told(undefined) }, 'capture-incomplete'],
  ])('refuses %s', (_, input, reason) => {
    expect(assemble(input)).toMatchObject({ ok: false, reason });
  });

  it.each<[string, Json]>([
    ["under somebody else's key", { name: 'repo', s3: { key: 'other/pod/repo.tgz' } }],
    ['above the key of the pod', { name: 'repo', s3: { key: 'wf/wf-main-123456/../other' } }],
    ['beside the key of the pod', { name: 'repo', s3: { key: 'wf/wf-main-1234567/repo.tgz' } }],
    ['at the key of the pod itself', { name: 'repo', s3: { key: 'wf/wf-main-123456' } }],
    ['in another bucket', { name: 'repo', s3: { bucket: 'evil', key: 'wf/wf-main-123456/repo.tgz' } }],
    [
      'with other secrets',
      { name: 'repo', s3: { accessKeySecret: { name: 'x', key: 'y' }, key: 'wf/wf-main-123456/repo.tgz' } },
    ],
    ['in another kind of store', { name: 'repo', gcs: { key: 'wf/wf-main-123456/repo.tgz' } }],
    ['in two stores', { name: 'repo', gcs: { key: 'k' }, s3: { key: 'wf/wf-main-123456/repo.tgz' } }],
    ['in the result itself', { name: 'repo', raw: { data: 'forged' } }],
    ['in git', { name: 'repo', git: { repo: 'https://evil' } }],
  ])('refuses an artifact %s', (_, artifact) => {
    const artifacts = [artifact, DECLARED];
    expect(outputsOf(assemble({ captured: CAPTURED, taskResult: told({ artifacts }) }))).toBe('artifact-outside');
  });

  it('refuses a declared artifact under another key than the declared one, even below the archive', () => {
    const artifacts = [ARTIFACTS[0], { name: 'declared', s3: { ...DECLARED.s3, key: 'wf/wf-main-123456/d.txt' } }];
    expect(outputsOf(assemble({ captured: CAPTURED, taskResult: told({ artifacts }) }))).toBe('artifact-outside');
  });

  it('looks for an artifact below the archive where a store but no key is declared', () => {
    const outputs = { artifacts: [{ name: 'repo', path: '/r', s3: { bucket: 'own' } }] };
    const template = { ...TEMPLATE, outputs };
    const stored = told({ artifacts: [{ name: 'repo', s3: { key: 'wf/wf-main-123456/repo.tgz' } }] });
    expect(assemble({ taskResult: stored }, { template }).ok).toBe(true);
    const outside = told({ artifacts: [{ name: 'repo', s3: { bucket: 'own', key: 'wf/wf-main-123456/repo.tgz' } }] });
    expect(outputsOf(assemble({ taskResult: outside }, { template }))).toBe('artifact-outside');
  });

  it('takes an artifact in the bucket that the archive location names', () => {
    const artifacts = [{ name: 'repo', s3: { ...ARCHIVE.s3, key: 'wf/wf-main-123456/repo.tgz' } }, DECLARED];
    expect(outputsOf(assemble({ captured: CAPTURED, taskResult: told({ artifacts }) }))).toMatchObject({
      artifacts: [{ name: 'repo', path: '/r', s3: { key: 'wf/wf-main-123456/repo.tgz' } }, DECLARED],
    });
  });

  it('leaves out logs that lie elsewhere, and whatever nobody declared', () => {
    const artifacts = [
      ...ARTIFACTS.slice(0, 2),
      { name: 'main-logs', s3: { key: 'x' } },
      { name: 'z', s3: { key: 'y' } },
    ];
    const parameters = [...VALUES, { name: 'undeclared', value: 'x' }];
    const outputs = outputsOf(assemble({ taskResult: told({ parameters, artifacts }) }));
    expect(outputs).toEqual({ ...complete, artifacts: STORED.slice(0, 2) });
  });

  it('fills in a default that only one of the two, or neither, has reported', () => {
    const alone = { parameters: [{ name: 'p', value: '1' }] };
    for (const captured of [CAPTURED, alone]) {
      for (const parameters of [VALUES, alone.parameters]) {
        const taskResult = told({ parameters, artifacts: ARTIFACTS });
        expect(outputsOf(assemble({ captured, taskResult }))).toEqual(complete);
      }
    }
  });

  it.each<[string, Captured]>([
    ['all values', CAPTURED],
    ['all values in another order', { parameters: [...VALUES].reverse() }],
    ['the values that are no defaults', { parameters: VALUES.slice(0, 1) }],
  ])('takes a task result that matches the digest of %s', (_, captured) => {
    expect(assemble({ digest: digestOf(captured), taskResult: told(REPORTED) })).toMatchObject({ ok: true });
  });

  describe('of a step that must report a result', () => {
    const options: PodOptions = { template: { script: CONTAINER, outputs: {} }, needsResult: true };
    it.each<[string, Partial<AssembleInput>, unknown]>([
      [
        'both say the same',
        { captured: { parameters: [], result: 'r' }, taskResult: told({ result: 'r' }) },
        { result: 'r', exitCode: '0' },
      ],
      [
        'both say it is empty',
        { captured: { parameters: [], result: '' }, taskResult: told({ result: '' }) },
        { result: '', exitCode: '0' },
      ],
      ['the sidecar alone is left', { captured: { parameters: [], result: 'r' } }, { result: 'r', exitCode: '0' }],
      [
        'they differ',
        { captured: { parameters: [], result: 'r' }, taskResult: told({ result: 's' }) },
        'capture-mismatch',
      ],
      [
        'only the sidecar says one',
        { captured: { parameters: [], result: 'r' }, taskResult: told({}) },
        'capture-mismatch',
      ],
      [
        'only the task result says one',
        { captured: { parameters: [] }, taskResult: told({ result: 'r' }) },
        'capture-mismatch',
      ],
      ['nobody says one', { taskResult: told({}) }, 'capture-incomplete'],
      [
        'the digest is that of it',
        { digest: digestOf({ parameters: [], result: 'r' }), taskResult: told({ result: 'r' }) },
        { result: 'r', exitCode: '0' },
      ],
      [
        'the digest is that of another',
        { digest: digestOf({ parameters: [], result: 's' }), taskResult: told({ result: 'r' }) },
        'capture-mismatch',
      ],
    ])('%s', (_, input, expected) => {
      expect(outputsOf(assemble(input, options))).toEqual(expected);
    });

    it('keeps no result that nobody needs', () => {
      const result = assemble({ taskResult: told({ result: 'r' }) }, { ...options, needsResult: false });
      expect(outputsOf(result)).toEqual({ exitCode: '0' });
    });
  });

  it.each<[string, Json, unknown]>([
    ['a container', { container: CONTAINER, outputs: {} }, { exitCode: '0' }],
    ['a containerSet without main', { containerSet: { containers: [{ name: 'a' }] }, outputs: {} }, {}],
  ])('makes an entry of %s without outputs, never with null', (_, template, outputs) => {
    expect(outputsOf(assemble({ taskResult: told({}) }, { template }))).toEqual(outputs);
    expect(outputsOf(assemble({ captured: { parameters: [] } }, { template }))).toEqual(outputs);
  });

  describe("from the pod's own annotation", () => {
    const annotations = { 'workflows.argoproj.io/outputs': '{"parameters":[{"name":"p","value":"1"}]}' };
    it.each([
      ['3.4.17', true],
      ['3.5.14', true],
      ['3.6.10', false],
      ['4.0.5', false],
    ] as const)('on Argo %s: %s', (layout, isRead) => {
      const result = assemble({}, { layout, annotations, template: PARAMETERS_ALONE });
      expect(result.ok).toBe(isRead);
    });

    it('passes over one that cannot be read', () => {
      const broken = { 'workflows.argoproj.io/outputs': '{' };
      const result = assemble({}, { layout: '3.4.17', annotations: broken, template: PARAMETERS_ALONE });
      expect(result).toMatchObject({ ok: false, reason: 'capture-lost' });
    });
  });

  describe('of an offloaded template', () => {
    const options: PodOptions = { isOffloaded: true };
    const read = (template: Json): StepTemplate => {
      const reading = parseTemplate(JSON.stringify(template));
      if (reading.state !== 'inline') throw new Error('unreadable');
      return reading;
    };
    const mounted = read({
      container: { ...CONTAINER, volumeMounts: [{ name: 'w', mountPath: '/work' }] },
      outputs: {
        parameters: [
          { name: 'w', valueFrom: { path: '/work/w' } },
          { name: 'p', valueFrom: { path: '/p' } },
        ],
      },
    });
    const values = [
      { name: 'w', value: '2' },
      { name: 'p', value: '1' },
    ];

    it('needs the template', () => {
      expect(outputsOf(assemble({ taskResult: told({}) }, options))).toBe('template-offloaded');
      expect(outputsOf(assemble({ taskResult: told({}), template: read({ container: {} }) }, options))).toEqual({
        exitCode: '0',
      });
    });

    it('takes from the task result what lies in a volume, which the sidecar had not mounted, and nothing else', () => {
      const captured = { parameters: values.slice(1) };
      const input = { template: mounted, taskResult: told({ parameters: values }) };
      expect(outputsOf(assemble({ ...input, captured }, options))).toMatchObject({
        parameters: [{ value: '2' }, { value: '1' }],
      });
      expect(outputsOf(assemble({ ...input, captured: { parameters: [] } }, options))).toBe('capture-incomplete');
      expect(assemble({ ...input, digest: digestOf(captured) }, options).ok).toBe(true);
    });
  });
});
