import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import type { PolicyContext } from '../../../src/policy/context.ts';
import { judgeSubmission, type Submission } from '../../../src/policy/judge-submission.ts';
import { policySettingsSchema } from '../../../src/policy/settings.ts';
import { context, MEMOIZE, STEP, workflow } from './support.ts';

const CONTROLLER = 'system:serviceaccount:argo:argo';
const withMaxAge = (maxAge: string, name = 'step') => ({ ...STEP, name, memoize: { ...MEMOIZE, maxAge } });
const BAD = workflow({ templates: [withMaxAge('1d')] });

function judge(submission: Partial<Submission> & { object: JsonObject }, changes: Partial<PolicyContext> = {}) {
  const defaults = { operation: 'CREATE', requester: 'jane', controllerAccounts: [CONTROLLER] };
  return judgeSubmission({ ...defaults, ...submission }, context(changes));
}

describe('a new object', () => {
  it('is refused with all that is wrong, each with its path and its way out', () => {
    const object = workflow({
      templates: [{ ...STEP, memoize: { key: '', maxAge: '1d', cache: { configMap: { name: 'A' } } } }],
    });
    expect(judge({ object })).toEqual({
      isAllowed: false,
      reason: 'key-invalid',
      message: [
        "stepmemo's policy refuses this Workflow:",
        '- spec.templates[0].memoize.key: The key is empty, so there is nothing to look up. Write a key that names what the outputs depend on, say "{{inputs.parameters.message}}". [key-invalid]',
        '- spec.templates[0].memoize.cache.configMap.name: "A" is no valid name of a ConfigMap. Use lower case letters, digits, "-" and ".", at most 253 characters, as in "my-cache". [cache-name-invalid]',
        '- spec.templates[0].memoize.maxAge: "1d" is no duration as Argo reads it. There is no unit for days: write "24h". [max-age-invalid]',
      ].join('\n'),
      warnings: [],
    });
  });

  it('passes with warnings where rules only warn', () => {
    const object = workflow({ templates: [{ ...STEP, memoize: { ...MEMOIZE, key: 'k' } }] });
    const { isAllowed, reason, warnings } = judge({ object });
    expect({ isAllowed, reason }).toEqual({ isAllowed: true, reason: 'key-constant' });
    expect(warnings).toEqual([
      'spec.templates[0].memoize.key: The key "k" holds no parameter, though the template "step" has inputs: other inputs would get the same outputs. Put the inputs into the key, say "k-{{inputs.parameters.x}}". [key-constant]',
    ]);
  });

  it("is judged when the controller creates it: a CronWorkflow's Workflow", () => {
    expect(judge({ object: BAD, requester: CONTROLLER }).isAllowed).toBe(false);
  });

  it('is answered in a few lines, however much is wrong', () => {
    const templates = Array.from({ length: 5000 }, (_, index) => withMaxAge('1d', `step-${index}`));
    const { message } = judge({ object: workflow({ templates }) });
    expect(message.split('\n')).toHaveLength(22);
    expect(message).toContain('and 4980 more');
    const constant = templates.map((template) => ({ ...template, memoize: { ...MEMOIZE, key: 'k' } }));
    const { warnings } = judge({ object: workflow({ templates: constant }) });
    expect(warnings.join('').length).toBeLessThan(4096);
    expect(warnings.at(-1)).toMatch(/^and \d+ more; stepmemo lint shows all$/);
  });
});

describe('an update', () => {
  const update = (object: JsonObject, oldObject: JsonObject, more: Partial<Submission> = {}) =>
    judge({ object, oldObject, operation: 'UPDATE', ...more });

  it('passes where the stored object had it already: suspend, resume, stop, retry', () => {
    const suspended = { ...BAD, spec: { ...(BAD.spec as JsonObject), suspend: true } };
    expect(update(suspended, BAD)).toMatchObject({ isAllowed: true, reason: 'findings-old' });
    expect(update(BAD, suspended)).toMatchObject({ isAllowed: true });
    const stopped = { ...BAD, spec: { ...(BAD.spec as JsonObject), shutdown: 'Stop' } };
    expect(update(stopped, BAD)).toMatchObject({ isAllowed: true });
  });

  it('passes where the spec stays as it is', () => {
    expect(update({ ...BAD, status: { phase: 'Running' } }, BAD)).toMatchObject({
      isAllowed: true,
      reason: 'spec-unchanged',
    });
  });

  it('passes from the workflow controller, whatever it writes', () => {
    expect(update(BAD, workflow({ templates: [] }), { requester: CONTROLLER })).toMatchObject({
      reason: 'controller-update',
    });
  });

  it('passes while the object is being deleted', () => {
    const dying = { ...BAD, metadata: { name: 'wf', deletionTimestamp: '2026-01-01T00:00:00Z' } };
    expect(update(dying, workflow({ templates: [] }))).toMatchObject({ isAllowed: true, reason: 'being-deleted' });
  });

  it('is refused for what is new, and for that alone', () => {
    const grown = workflow({ templates: [withMaxAge('1d'), withMaxAge('2d', 'other')] });
    const { isAllowed, message } = update(grown, BAD);
    expect(isAllowed).toBe(false);
    expect(message).toContain('spec.templates[1].memoize.maxAge: "2d"');
    expect(message).not.toContain('"1d"');
  });

  it('passes where templates moved or were renamed', () => {
    const shifted = workflow({ templates: [{ ...STEP, name: 'new' }, withMaxAge('1d')] });
    expect(update(shifted, BAD).isAllowed).toBe(true);
    expect(update(workflow({ templates: [withMaxAge('1d', 'renamed')] }), BAD).isAllowed).toBe(true);
  });

  it('is refused where the same fault appears once more', () => {
    const twice = workflow({ templates: [withMaxAge('1d', 'new'), withMaxAge('1d')] });
    const { isAllowed, message } = update(twice, BAD);
    expect(isAllowed).toBe(false);
    expect(message).toContain('spec.templates[0].memoize.maxAge');
    expect(message).not.toContain('spec.templates[1]');
  });

  it('is judged whole where the old object is not known', () => {
    expect(judge({ object: BAD, operation: 'UPDATE' }).isAllowed).toBe(false);
  });
});

it.each(['DELETE', 'CONNECT'])('%s is never judged', (operation) => {
  expect(judge({ object: BAD, operation }).isAllowed).toBe(true);
});

describe('severities', () => {
  const settings = policySettingsSchema.parse({
    rules: { 'max-age-invalid': 'warn', 'key-constant': 'deny' },
    namespaces: { strict: { 'max-age-invalid': 'deny' }, lax: { 'max-age-invalid': 'off', 'key-constant': 'off' } },
  });
  const object = workflow({ templates: [{ ...STEP, memoize: { ...MEMOIZE, maxAge: '1d', key: 'k' } }] });

  it('are what the admin sets for the cluster', () => {
    expect(judge({ object }, { settings })).toMatchObject({ isAllowed: false, reason: 'key-constant' });
  });

  it('are overridden for a namespace, by its name', () => {
    expect(judge({ object: BAD }, { settings, namespace: 'strict' }).isAllowed).toBe(false);
    expect(judge({ object: BAD }, { settings, namespace: 'elsewhere' })).toMatchObject({
      isAllowed: true,
      reason: 'max-age-invalid',
    });
    expect(judge({ object }, { settings, namespace: 'lax' })).toMatchObject({ isAllowed: true, warnings: [] });
    expect(judge({ object: BAD }, { settings, namespace: 'constructor' }).isAllowed).toBe(true);
  });

  it('refuse unknown rules and severities', () => {
    expect(policySettingsSchema.safeParse({ rules: { 'no-such-rule': 'deny' } }).success).toBe(false);
    expect(policySettingsSchema.safeParse({ rules: { 'key-invalid': 'error' } }).success).toBe(false);
    expect(policySettingsSchema.safeParse({ argoVersion: 'latest' }).success).toBe(false);
  });
});
