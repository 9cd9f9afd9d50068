import { expect, it } from 'vitest';
import { createUnnamedControllers } from '../../../src/admission/unnamed-controllers.ts';
import type { KubeObject } from '../../../src/kube/types.ts';

const HELM = 'system:serviceaccount:argo-workflows:argo-workflows-workflow-controller';

function pod(serviceAccountName: string, image: string): KubeObject {
  return { spec: { serviceAccountName, containers: [{ name: 'controller', image }] }, status: { phase: 'Running' } };
}

function make(pods: Readonly<Record<string, readonly KubeObject[]>>) {
  const asked: string[] = [];
  const warned: string[] = [];
  let answered = Promise.resolve();
  const kube = {
    list: async ({ namespace = '' }: { namespace?: string | undefined }) => {
      asked.push(namespace);
      const answer = { ok: true as const, value: [...(pods[namespace] ?? [])] };
      answered = new Promise((resolve) => setImmediate(resolve));
      return answer;
    },
  };
  const log = { warn: (_: object, message?: string) => void warned.push(message ?? '') };
  const unnamed = createUnnamedControllers(kube, log as never);
  const see = async (account: string) => {
    unnamed.see(account);
    await new Promise((resolve) => setImmediate(resolve));
    await answered;
  };
  return { unnamed, see, asked, warned };
}

const CONTROLLER = pod('argo-workflows-workflow-controller', 'quay.io/argoproj/workflow-controller:v4.0.5');

it('names a workflow controller that was not named, once', async () => {
  const { unnamed, see, asked, warned } = make({ 'argo-workflows': [CONTROLLER] });
  expect(unnamed.troubles()).toEqual([]);
  await see(HELM);
  await see(HELM);
  expect(unnamed.troubles()).toMatchObject([{ text: expect.stringContaining(`runs as ${HELM}`) }]);
  expect(warned).toHaveLength(1);
  expect(asked).toEqual(['argo-workflows']);
});

it('takes no account at its word: a controller has to run as it', async () => {
  const { unnamed, see } = make({ 'argo-workflows': [CONTROLLER], team: [pod('builder', 'busybox')] });
  await see('system:serviceaccount:argo-workflows:other');
  await see('system:serviceaccount:team:builder');
  await see('someone');
  expect(unnamed.troubles()).toEqual([]);
});

it('looks into no more than fifty', async () => {
  const { see, asked } = make({});
  for (let index = 0; index < 60; index += 1) await see(`system:serviceaccount:n${index}:a`);
  expect(asked).toHaveLength(50);
});
