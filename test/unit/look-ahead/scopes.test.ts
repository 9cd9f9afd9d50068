import { describe, expect, it } from 'vitest';
import { readGroups } from '../../../src/look-ahead/calls.ts';
import { mayLackOutputs } from '../../../src/look-ahead/scopes.ts';

describe('whether a template may err when it ends', () => {
  const lacks = (call: object, parameter: string, scope: Record<string, string> = {}) => {
    const outputs = { parameters: [{ name: 'o', valueFrom: { parameter } }] };
    const template = { steps: [[{ name: 'a', template: 't', ...call }]], outputs };
    return mayLackOutputs(template, readGroups(template).flat(), new Map(Object.entries(scope)));
  };
  const TAG = '{{steps.a.outputs.parameters.o}}';

  it.each([
    ['where its output comes from a step that may be skipped', { when: 'false' }, TAG, {}, true],
    ['where it comes from one that may fail', { continueOn: { failed: true } }, TAG, {}, true],
    ['but not where it comes from one that has to succeed', {}, TAG, {}, false],
    ['nor where it is there already', { when: 'false' }, TAG, { 'steps.a.outputs.parameters.o': '1' }, false],
    ['nor where it is none of a step', { when: 'false' }, '{{inputs.parameters.x}}', {}, false],
  ] as const)('%s', (_, call, parameter, scope, expected) => {
    expect(lacks(call, parameter, scope)).toBe(expected);
  });
});
