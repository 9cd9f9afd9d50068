import { expect, test } from 'vitest';
import { RESOURCES } from '../../src/kube/types.ts';
import { createNamespace, kubeAs } from './harness.ts';

test('the server may not read a Secret of another namespace', async () => {
  const namespace = await createNamespace();
  const own = await kubeAs('stepmemo');
  expect(await own.get({ resource: RESOURCES.secrets, namespace, name: 'x' })).toMatchObject({ status: 403 });
});
