import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/base/json.ts';
import { RULE_NAMES, type Rule } from '../../../src/policy/rules.ts';
import { CASES, type Case } from './cases.ts';
import { findBrief, STEP, workflow } from './support.ts';

function findOf(rule: Rule, { template, spec = {}, context = {} }: Case): string[] {
  const { more = [], ...rest } = spec as { more?: JsonObject[] };
  const object = workflow({ ...rest, templates: [template, ...more] });
  return findBrief(object, context)
    .filter((line) => line.split(' ')[1] === rule)
    .map((line) => line.replace(` ${rule} spec.templates[0]`, ' '));
}

describe.each(Object.entries(CASES) as [Rule, readonly Case[]][])('%s', (rule, cases) => {
  it.each(cases.map((one) => [one.says, one] as const))('%s', (_, one) => {
    expect(findOf(rule, one)).toEqual(one.expected);
  });
});

describe('the table', () => {
  it('has a case that finds and one that does not for every rule about templates', () => {
    const aboutOthers = ['entry-invalid', 'cache-label-removed', 'duplicate-key'];
    expect(Object.keys(CASES).sort()).toEqual(RULE_NAMES.filter((rule) => !aboutOthers.includes(rule)).sort());
    for (const [rule, cases] of Object.entries(CASES)) {
      expect(
        cases.some(({ expected }) => expected.length > 0),
        rule,
      ).toBe(true);
      expect(
        cases.some(({ expected }) => expected.length === 0),
        rule,
      ).toBe(true);
    }
  });

  it('has nothing to say about a template that is in order', () => {
    expect(findBrief(workflow({ templates: [STEP] }))).toEqual([]);
    expect(findBrief(workflow({ templates: [STEP] }), { mode: 'native' })).toEqual([]);
  });
});
