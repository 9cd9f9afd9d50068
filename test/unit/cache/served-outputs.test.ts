import { describe, expect, it } from 'vitest';
import { parseTemplate, type StepTemplate } from '../../../src/argo/template.ts';
import type { Entry } from '../../../src/cache/entry.ts';
import { missingOutputs, noteStores, rebuildOutputs } from '../../../src/cache/served-outputs.ts';
import { CONTAINER } from '../../support/argo-pod.ts';

type Json = Record<string, unknown>;

function template(outputs: Json, others: Json = { container: CONTAINER }): StepTemplate {
  const reading = parseTemplate(JSON.stringify({ name: 't', outputs, ...others }));
  if (reading.state !== 'inline') throw new Error('the template is unreadable');
  return reading;
}

function entry(outputs: Json | null): Entry {
  return { nodeID: 'old-1', outputs, creationTimestamp: null, lastHitTimestamp: null } as Entry;
}

const STEP = { needsResult: false, hasMain: true };
const OWN_S3 = { endpoint: 'minio:9000', bucket: 'own', accessKeySecret: { name: 'own', key: 'a' } };
const FOREIGN_S3 = { endpoint: 'evil:9000', bucket: 'evil', accessKeySecret: { name: 'theirs', key: 'a' } };

describe('missingOutputs', () => {
  const declared = template({
    parameters: [
      { name: 'p', valueFrom: { path: '/p' } },
      { name: 'd', valueFrom: { path: '/d', default: 'x' } },
    ],
    artifacts: [
      { name: 'a', path: '/a' },
      { name: 'o', path: '/o', optional: true },
    ],
  });
  const full = {
    parameters: [
      { name: 'p', value: '' },
      { name: 'd', value: 'x' },
    ],
    artifacts: [{ name: 'a', s3: { key: 'k/a.tgz' } }],
    result: '',
  };

  it.each<[string, Json | null, boolean, readonly string[]]>([
    ['a complete entry, empty values included', full, false, []],
    ['a needed result that is there, though empty', full, true, []],
    ['no result where one is needed', { ...full, result: undefined }, true, ['result']],
    [
      'a parameter without a value',
      { ...full, parameters: [{ name: 'p' }, { name: 'd', value: 'x' }] },
      false,
      ['parameter p'],
    ],
    // Argo writes a default into the entry like any value; one that is not there was never reported.
    ['a default that is not there', { ...full, parameters: [{ name: 'p', value: '1' }] }, false, ['parameter d']],
    ['an artifact without a key', { ...full, artifacts: [{ name: 'a', s3: {} }] }, false, ['artifact a']],
    [
      'an artifact in a store without keys',
      { ...full, artifacts: [{ name: 'a', raw: { data: 'x' } }] },
      false,
      ['artifact a'],
    ],
    ['null outputs', null, true, ['parameter p', 'parameter d', 'artifact a', 'result']],
  ])('%s', (_, outputs, needsResult, missing) => {
    expect(missingOutputs({ ...STEP, needsResult }, declared, entry(outputs))).toEqual(missing);
  });

  it('asks nothing of the entry of a step without outputs', () => {
    expect(missingOutputs(STEP, template({}), entry(null))).toEqual([]);
  });

  it('takes a value that the template fixes itself', () => {
    const fixed = template({ parameters: [{ name: 'p', value: 'v' }] });
    expect(missingOutputs(STEP, fixed, entry(null))).toEqual([]);
  });

  it('does not take an artifact from another kind of store', () => {
    const gcs = template({ artifacts: [{ name: 'a', path: '/a', gcs: { bucket: 'own', key: 'now' } }] });
    expect(missingOutputs(STEP, gcs, entry({ artifacts: [{ name: 'a', s3: { key: 'k' } }] }))).toEqual(['artifact a']);
    const repository = template(
      { artifacts: [{ name: 'a', path: '/a' }] },
      { container: CONTAINER, archiveLocation: { gcs: { bucket: 'own', key: 'wf/pod' } } },
    );
    expect(missingOutputs(STEP, repository, entry({ artifacts: [{ name: 'a', s3: { key: 'k' } }] }))).toEqual([
      'artifact a',
    ]);
  });
});

describe('the store of an artifact', () => {
  const at = (bucket: string, key = 'wf/pod') => ({
    container: CONTAINER,
    archiveLocation: { s3: { endpoint: 'minio:9000', bucket, key, accessKeySecret: { name: key, key: 'a' } } },
  });
  const outputs = { artifacts: [{ name: 'a', path: '/a' }] };
  const noted = (bucket: string, declared: Json = outputs) =>
    entry(noteStores({ artifacts: [{ name: 'a', s3: { key: 'k/a.tgz' } }] }, template(declared, at(bucket))) as Json);

  it('has to be the one that this pod reads from', () => {
    const own = template(outputs, at('one', 'other/pod'));
    expect(missingOutputs(STEP, own, noted('one'))).toEqual([]);
    expect(missingOutputs(STEP, own, noted('two'))).toEqual(['artifact a in its store']);
  });

  it('is that of the declaration where it names one with a key', () => {
    const declared = (bucket: string) => ({
      artifacts: [{ name: 'a', path: '/a', s3: { endpoint: 'minio:9000', bucket, key: 'k' } }],
    });
    expect(missingOutputs(STEP, template(declared('x'), at('one')), noted('two', declared('x')))).toEqual([]);
    expect(missingOutputs(STEP, template(declared('y'), at('one')), noted('one', declared('x')))).toEqual([
      'artifact a in its store',
    ]);
  });

  it('is not asked for where the entry does not say, or the pod', () => {
    const silent = entry({ artifacts: [{ name: 'a', s3: { key: 'k/a.tgz' } }] });
    expect(missingOutputs(STEP, template(outputs, at('one')), silent)).toEqual([]);
    expect(missingOutputs(STEP, template(outputs), noted('one'))).toEqual([]);
  });

  it('is no output', () => {
    const rebuilt = rebuildOutputs(STEP, template(outputs, at('one')), noted('one'));
    expect(rebuilt).toEqual({
      ok: true,
      outputs: { artifacts: [{ name: 'a', path: '/a', s3: { key: 'k/a.tgz' } }], exitCode: '0' },
    });
  });

  it('decides about logs too', () => {
    const logs = { artifacts: [{ name: 'main-logs', s3: { key: 'k/main.log' } }] };
    const stored = entry(noteStores(logs, template({}, at('two'))) as Json);
    expect(rebuildOutputs(STEP, template({}, at('one')), stored)).toEqual({ ok: true, outputs: { exitCode: '0' } });
    expect(rebuildOutputs(STEP, template({}, at('two')), stored)).toMatchObject({ outputs: logs });
  });
});

describe('rebuildOutputs', () => {
  function rebuild(declared: StepTemplate, outputs: Json | null, step = STEP): unknown {
    const rebuilt = rebuildOutputs(step, declared, entry(outputs));
    return rebuilt.ok ? rebuilt.outputs : rebuilt.missing;
  }

  it('takes names, valueFrom and globalName from the pod and the value from the entry', () => {
    const declared = template({ parameters: [{ name: 'p', globalName: 'now', valueFrom: { path: '/now' } }] });
    const stored = { parameters: [{ name: 'p', value: 'v', globalName: 'then', valueFrom: { path: '/then' } }] };
    expect(rebuild(declared, stored)).toEqual({
      parameters: [{ name: 'p', globalName: 'now', valueFrom: { path: '/now' }, value: 'v' }],
      exitCode: '0',
    });
  });

  it('leaves out what the pod does not declare and what it need not report', () => {
    const stored = {
      parameters: [{ name: 'other', value: 'v' }],
      artifacts: [{ name: 'b', s3: { key: 'b' } }],
      result: 'r',
    };
    expect(rebuild(template({}), stored)).toEqual({ exitCode: '0' });
  });

  it.each([
    ['with main', true, { result: 'r', exitCode: '0' }],
    ['without main', false, { result: 'r' }],
  ])('reports the result where it is needed, an exit code %s', (_, hasMain, expected) => {
    expect(rebuild(template({}), { result: 'r', exitCode: '7' }, { needsResult: true, hasMain })).toEqual(expected);
  });

  it("never uses an entry's endpoint, bucket or secret", () => {
    const declared = template({
      artifacts: [
        { name: 'own', path: '/own', archive: { none: {} }, s3: { ...OWN_S3, key: 'now/own' } },
        { name: 'repo', path: '/repo' },
      ],
    });
    const stored = {
      artifacts: [
        { name: 'own', path: '/then', s3: { ...FOREIGN_S3, key: 'then/own' } },
        { name: 'repo', s3: { ...FOREIGN_S3, key: 'then/repo.tgz' }, artifactGC: { strategy: 'OnWorkflowDeletion' } },
      ],
    };
    expect(rebuild(declared, stored)).toEqual({
      artifacts: [
        { name: 'own', path: '/own', archive: { none: {} }, s3: { ...OWN_S3, key: 'then/own' } },
        { name: 'repo', path: '/repo', s3: { key: 'then/repo.tgz' } },
      ],
      exitCode: '0',
    });
  });

  it.each([
    ['s3', { s3: { key: 'k' } }, { s3: { key: 'k' } }],
    ['gcs', { gcs: { key: 'k', bucket: 'evil' } }, { gcs: { key: 'k' } }],
    ['oss', { oss: { key: 'k', securityToken: 'x' } }, { oss: { key: 'k' } }],
    ['azure', { azure: { blob: 'k', container: 'evil' } }, { azure: { blob: 'k' } }],
    ['hdfs', { hdfs: { path: '/k', addresses: ['evil'] } }, { hdfs: { path: '/k' } }],
    ['plugin', { plugin: { key: 'k', configuration: 'evil' } }, { plugin: { key: 'k' } }],
    ['artifactory', { artifactory: { url: 'https://evil/k', usernameSecret: {} } }, { artifactory: { url: '/k' } }],
  ])('keeps the key alone of an artifact in %s', (_, location, expected) => {
    const declared = template({ artifacts: [{ name: 'a', path: '/a' }] });
    expect(rebuild(declared, { artifacts: [{ name: 'a', ...location }] })).toEqual({
      artifacts: [{ name: 'a', path: '/a', ...expected }],
      exitCode: '0',
    });
  });

  it('puts the path of a stored URL behind the declared host', () => {
    const declared = template({ artifacts: [{ name: 'a', path: '/a', http: { url: 'https://own:8443/now?sig=1' } }] });
    expect(rebuild(declared, { artifacts: [{ name: 'a', http: { url: 'https://evil/then/x?sig=2' } }] })).toEqual({
      artifacts: [{ name: 'a', path: '/a', http: { url: 'https://own:8443/then/x?sig=1' } }],
      exitCode: '0',
    });
  });

  it('forgets a declared store without a key, as Argo does', () => {
    const declared = template({ artifacts: [{ name: 'a', path: '/a', s3: OWN_S3 }] });
    expect(rebuild(declared, { artifacts: [{ name: 'a', s3: { key: 'then/a.tgz' } }] })).toEqual({
      artifacts: [{ name: 'a', path: '/a', s3: { key: 'then/a.tgz' } }],
      exitCode: '0',
    });
  });

  it('leaves out an optional artifact that the first run did not make', () => {
    const declared = template({ artifacts: [{ name: 'o', path: '/o', optional: true }] });
    expect(rebuild(declared, {})).toEqual({ exitCode: '0' });
  });

  it('keeps an optional artifact that the first run reported by name and never stored, without any place', () => {
    const declared = template({ artifacts: [{ name: 'o', path: '/o', optional: true, s3: { ...OWN_S3, key: 'o' } }] });
    expect(rebuild(declared, { artifacts: [{ name: 'o', optional: true }] })).toEqual({
      artifacts: [{ name: 'o', path: '/o', optional: true }],
      exitCode: '0',
    });
  });

  it('keeps archived logs as key alone, of the containers that this pod has', () => {
    const stored = {
      artifacts: [
        { name: 'main-logs', s3: { ...FOREIGN_S3, key: 'wf/pod/main.log' } },
        { name: 'gone-logs', s3: { key: 'wf/pod/gone.log' } },
      ],
    };
    expect(rebuild(template({}), stored)).toEqual({
      artifacts: [{ name: 'main-logs', s3: { key: 'wf/pod/main.log' } }],
      exitCode: '0',
    });
  });

  it('gives the logs of each member of a containerSet', () => {
    const set = template({}, { containerSet: { containers: [{ name: 'a' }, { name: 'b' }] } });
    const stored = { artifacts: ['b', 'a', 'main'].map((name) => ({ name: `${name}-logs`, s3: { key: name } })) };
    expect(rebuild(set, stored, { needsResult: false, hasMain: false })).toEqual({
      artifacts: [
        { name: 'a-logs', s3: { key: 'a' } },
        { name: 'b-logs', s3: { key: 'b' } },
      ],
    });
  });
});
