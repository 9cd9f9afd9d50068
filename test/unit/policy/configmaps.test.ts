import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { judgeConfigMap } from '../../../src/policy/configmap-rules.ts';
import { DEFAULT_POLICY, policySettingsSchema } from '../../../src/policy/settings.ts';

const CACHE = { 'workflows.argoproj.io/configmap-type': 'Cache' };
const ENTRY =
  '{"nodeID":"n","outputs":{"parameters":[{"name":"y","value":"1"}]},"creationTimestamp":"2026-01-31T12:00:00Z","lastHitTimestamp":"2026-01-31T12:00:00Z"}';
const CONTROLLER = 'system:serviceaccount:argo:argo';
const OWN = 'system:serviceaccount:stepmemo:stepmemo';

function configMap(labels: JsonObject | undefined, data?: JsonObject, more: JsonObject = {}): JsonObject {
  const metadata = { name: 'c', namespace: 'team-a', ...(labels && { labels }) };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata, ...(data && { data }), ...more };
}

function judge(object: JsonObject, oldObject?: JsonObject, requester = 'jane', settings = DEFAULT_POLICY) {
  return judgeConfigMap({ object, oldObject, requester, exemptAccounts: [CONTROLLER, OWN], settings });
}

describe('entries', () => {
  it('that are none are refused, each with its key and field', () => {
    const data = {
      good: ENTRY,
      text: 'hello',
      time: ENTRY.replace('2026-01-31T12:00:00Z', 'yesterday'),
      outputs: '{"nodeID":"n","outputs":{"parameters":[{"value":"1"}]},"creationTimestamp":null}',
      'with.dots': '[]',
    };
    const { isAllowed, message } = judge(configMap(CACHE, data));
    expect(isAllowed).toBe(false);
    const lines = message.split('\n').map((line) => line.replace(/\. Write .*\[/, ' ['));
    expect(lines).toEqual([
      "stepmemo's policy refuses this ConfigMap:",
      '- data.text: The value under the key "text" is no cache entry: it is not JSON [entry-invalid]',
      '- data.time: The value under the key "time" is no cache entry: creationTimestamp is not as Argo writes it [entry-invalid]',
      '- data.outputs: The value under the key "outputs" is no cache entry: outputs.parameters.0.name is not as Argo writes it [entry-invalid]',
      '- data["with.dots"]: The value under the key "with.dots" is no cache entry: the whole is not as Argo writes it [entry-invalid]',
    ]);
  });

  it.each([
    ['valid ones', { a: ENTRY }],
    ['an empty text, which is a miss', { a: '' }],
    ['outputs null', { a: '{"nodeID":"n","outputs":null,"creationTimestamp":null,"lastHitTimestamp":null}' }],
    ['none at all', undefined],
  ])('pass: %s', (_, data) => {
    expect(judge(configMap(CACHE, data)).isAllowed).toBe(true);
  });

  it('that were there already stop nobody', () => {
    const before = configMap(CACHE, { bad: 'text', a: ENTRY });
    expect(judge(configMap(CACHE, { bad: 'text', b: ENTRY }), before).isAllowed).toBe(true);
    expect(judge(configMap(CACHE, { a: ENTRY }), before).isAllowed).toBe(true);
    expect(judge(configMap(CACHE, { bad: 'other', a: ENTRY }), before).isAllowed).toBe(false);
  });

  it('are judged all when a ConfigMap becomes a cache', () => {
    const before = configMap(undefined, { bad: 'text' });
    expect(judge(configMap(CACHE, { bad: 'text' }), before).isAllowed).toBe(false);
  });

  it('of other ConfigMaps are nobody’s business', () => {
    expect(judge(configMap(undefined, { a: 'text' })).reason).toBe('not-a-cache');
    expect(judge(configMap({ 'workflows.argoproj.io/configmap-type': 'Parameter' }, { a: 'text' })).reason).toBe(
      'not-a-cache',
    );
  });
});

describe('the label', () => {
  const full = configMap(CACHE, { a: ENTRY });

  it('is not taken from a cache with entries, with the way to empty it', () => {
    const { isAllowed, message } = judge(configMap({}, { a: ENTRY }), full);
    expect(isAllowed).toBe(false);
    expect(message).toContain('metadata.labels["workflows.argoproj.io/configmap-type"]: The cache still holds 1 entry');
    expect(message).toContain(`kubectl patch configmap -n team-a c --type=json -p '[{"op":"remove","path":"/data"}]'`);
    const binary = judge(configMap({}, undefined, { binaryData: { 'x.gz': '' } }), full);
    expect(binary.message).toContain('[{"op":"remove","path":"/binaryData"}]');
    expect(judge(configMap({ 'workflows.argoproj.io/configmap-type': 'Other' }, { a: ENTRY }), full).isAllowed).toBe(
      false,
    );
  });

  it('is taken from an empty one, or together with the entries', () => {
    expect(judge(configMap({}), configMap(CACHE)).isAllowed).toBe(true);
    expect(judge(configMap({}, {}), full).isAllowed).toBe(true);
  });

  it('may be taken while the cache is being deleted', () => {
    const dying = configMap({}, { a: ENTRY });
    const metadata = { ...(dying.metadata as JsonObject), deletionTimestamp: '2026-01-01T00:00:00Z' };
    expect(judge({ ...dying, metadata }, full).isAllowed).toBe(true);
  });
});

it.each([CONTROLLER, OWN])('%s writes what it must', (requester) => {
  expect(judge(configMap(CACHE, { a: 'text' }), undefined, requester).reason).toBe('own-write');
  expect(judge(configMap(undefined, { a: 'text' }), configMap(CACHE, { a: ENTRY }), requester).isAllowed).toBe(true);
});

it('severities are the admin’s', () => {
  const settings = policySettingsSchema.parse({
    rules: { 'entry-invalid': 'warn' },
    namespaces: { 'team-a': { 'cache-label-removed': 'off' } },
  });
  expect(judge(configMap(CACHE, { a: 'x' }), undefined, 'jane', settings)).toMatchObject({
    isAllowed: true,
    warnings: [expect.stringContaining('data.a')],
  });
  expect(judge(configMap({}, { a: ENTRY }), configMap(CACHE, { a: ENTRY }), 'jane', settings)).toMatchObject({
    isAllowed: true,
    warnings: [],
  });
});
