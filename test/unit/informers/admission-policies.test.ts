import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { configSchema } from '../../../src/config/config.ts';
import {
  controllersInPolicy,
  POD_CREATION_POLICY,
  unknownToPolicy,
} from '../../../src/informers/admission-policies.ts';
import type { KubeObject } from '../../../src/kube/types.ts';

const policyOf = (expression: unknown, name = POD_CREATION_POLICY) =>
  ({
    metadata: { name },
    spec: {
      variables: [
        { name: 'other', expression: '1' },
        { name: 'controllers', expression },
      ],
    },
  }) as KubeObject;

test.each<[string, KubeObject, readonly string[] | undefined]>([
  ['one account', policyOf("'a'.split(',')"), ['a']],
  ['several', policyOf("'a,b'.split(',')"), ['a', 'b']],
  ['a list written by hand', policyOf("['a']"), undefined],
  ['no expression', policyOf(undefined), undefined],
  ['another policy', policyOf("'a'.split(',')", 'stepmemo-own-pods'), undefined],
  ['no variables', { metadata: { name: POD_CREATION_POLICY }, spec: {} }, undefined],
  ['no spec', { metadata: { name: POD_CREATION_POLICY } }, undefined],
])('the accounts in a policy: %s', (_, policy, expected) => {
  expect(controllersInPolicy(policy)).toEqual(expected);
});

test('accounts that the policy does not know are named; where it says nothing readable, none are', () => {
  expect(unknownToPolicy(policyOf("'a,b'.split(',')"), ['b', 'c'])).toEqual(['c']);
  expect(unknownToPolicy(policyOf("['a']"), ['c'])).toEqual([]);
});

test('the shipped policy knows the accounts that the server acts for by default', async () => {
  const file = new URL('../../../manifests/base/policies.yaml', import.meta.url);
  const objects = parseAllDocuments(await readFile(file, 'utf8')).map((document) => document.toJS() as KubeObject);
  const policy = objects.find(({ metadata }) => metadata?.name === POD_CREATION_POLICY) ?? {};
  expect(controllersInPolicy(policy)).toEqual(configSchema.parse({}).controllerAccounts);
});
