import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { quote } from '../../../src/base/text.ts';
import { findFindings } from '../../../src/policy/find-findings.ts';
import { judgeSubmission } from '../../../src/policy/judge-submission.ts';
import { fuzzed, mode, mutated, version } from './fuzzed-objects.ts';
import { context, findBrief, MEMOIZE, STEP, workflow } from './support.ts';

describe('10,000 fuzzed objects', () => {
  it('end with findings or without', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(
        fc.oneof(fuzzed, mutated),
        fc.oneof(fuzzed, mutated),
        mode,
        version,
        (object, other, mode, argoVersion) => {
          const known = context({
            mode,
            argoVersion,
            lookUpTemplate: () => other as JsonObject,
            cacheLabel: () => 'unlabeled',
          });
          const verdict = judgeSubmission(
            {
              object: object as JsonObject,
              oldObject: other as JsonObject,
              operation: 'UPDATE',
              requester: 'jane',
              controllerAccounts: [],
            },
            known,
          );
          expect(verdict.isAllowed).toBe(!verdict.message.includes('refuses'));
          for (const finding of findFindings(object as JsonObject, known)) {
            expect(finding.message).toMatch(/\.$/);
            expect(finding.message + finding.fix).not.toMatch(/[\p{Cc}\p{Cs}]/u);
          }
        },
      ),
      { numRuns: 10_000 },
    );
  });
});

describe('hostile objects', () => {
  it('of deep nesting pass', () => {
    let deep: JsonObject = STEP;
    for (let depth = 0; depth < 20_000; depth += 1) deep = { steps: [[{ inline: deep }]] };
    expect(findBrief(workflow({ templates: [deep] }))).toEqual([]);
    let nested: unknown = 'x';
    for (let depth = 0; depth < 20_000; depth += 1) nested = [nested];
    const object = workflow({ templates: [{ ...STEP, memoize: { key: nested, maxAge: nested, cache: nested } }] });
    expect(findBrief(object).map((line) => line.split(' ')[1])).toEqual([
      'key-invalid',
      'cache-name-invalid',
      'max-age-invalid',
    ]);
  });

  it('of templates that call each other in circles end', () => {
    const call = (name: string, other: string) => ({
      ...STEP,
      name,
      container: undefined,
      memoize: { ...MEMOIZE, cache: { configMap: { name: '{{inputs.parameters.x}}' } } },
      steps: [
        [{ name: 'a', template: other, arguments: { parameters: [{ name: 'x', value: '{{inputs.parameters.x}}A' }] } }],
      ],
    });
    expect(() => findBrief(workflow({ templates: [call('a', 'b'), call('b', 'a'), call('c', 'c')] }))).not.toThrow();
  });

  it('of many callers and tags do not multiply', () => {
    const passes = (value: string) => ({
      parameters: Array.from({ length: 16 }, (_, index) => ({ name: `x${index}`, value })),
    });
    const all = Array.from({ length: 16 }, (_, index) => `{{inputs.parameters.x${index}}}`).join('');
    const templates = Array.from({ length: 40 }, (_, index) => ({
      name: `t${index}`,
      inputs: { parameters: Array.from({ length: 16 }, (_, number) => ({ name: `x${number}`, default: 'a' })) },
      steps: [
        Array.from({ length: 40 }, (_, call) => ({
          name: 's',
          template: `t${index + 1}`,
          arguments: passes(`${all}${call}`),
        })),
      ],
      memoize: { ...MEMOIZE, cache: { configMap: { name: all } } },
    }));
    expect(() => findBrief(workflow({ templates }))).not.toThrow();
  });

  it('of 100,000 characters get messages that can be read', () => {
    const long = 'A'.repeat(100_000);
    const findings = findFindings(
      workflow({
        templates: [
          { ...STEP, name: long, memoize: { key: `${long}\n`, maxAge: long, cache: { configMap: { name: long } } } },
        ],
      }),
      context(),
    );
    expect(findings.map(({ rule }) => rule)).toEqual([
      'key-invalid',
      'cache-name-invalid',
      'max-age-invalid',
      'key-constant',
    ]);
    for (const { message, fix } of findings) expect(message.length + fix.length).toBeLessThan(600);
  });

  it('of a wrong kind, or without a spec, pass', () => {
    for (const object of [
      {},
      { kind: 'Workflow' },
      { kind: 'Workflow', spec: [] },
      { kind: 'Pod', spec: {} },
      { kind: 'CronWorkflow', spec: { workflowSpec: 5 } },
    ]) {
      expect(findBrief(object)).toEqual([]);
    }
  });
});

it('quotes nothing that a terminal would obey', () => {
  expect(quote('a\u001b[31m\u202e\ud800"')).toBe('"a\\u001b[31m\\u202e\\ud800\\""');
  expect(quote('x'.repeat(200))).toBe(`"${'x'.repeat(120)}…"`);
});
