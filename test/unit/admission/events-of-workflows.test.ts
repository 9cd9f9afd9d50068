import { expect, it } from 'vitest';
import { createEventsOfWorkflows } from '../../../src/admission/events-of-workflows.ts';
import { RESOURCES } from '../../../src/kube/types.ts';
import type { EventInput } from '../../../src/telemetry/events.ts';
import { fail, MemoryKube } from '../kube/memory-kube.ts';

function given() {
  const kube = new MemoryKube();
  kube.put(RESOURCES.workflows, { metadata: { namespace: 'team', name: 'wf', uid: 'u' } });
  const sent: EventInput[] = [];
  const record = createEventsOfWorkflows(kube, (event) => void sent.push(event));
  const tell = (uid: string | undefined, name = 'wf') =>
    record({
      regarding: { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', namespace: 'team', name, uid },
      type: 'Normal',
      reason: 'no-entry',
      message: 'm',
    });
  return { kube, sent, tell };
}

it('are sent of a Workflow that is there, which is asked for once', async () => {
  const { kube, sent, tell } = given();
  for (let pods = 0; pods < 5; pods += 1) tell('u');
  await expect.poll(() => sent.length).toBe(5);
  expect(kube.calls.filter(({ verb }) => verb === 'get')).toHaveLength(1);
});

it('are not sent of one that somebody made up', async () => {
  const { kube, sent, tell } = given();
  tell('other');
  tell(undefined);
  tell('u', 'none');
  await expect.poll(() => kube.calls.length).toBe(3);
  tell('u');
  await expect.poll(() => sent.length).toBe(1);
  expect(sent[0]?.regarding).toMatchObject({ name: 'wf', uid: 'u' });
});

it('ask for no more than a few at a time, and again for what was not answered', async () => {
  const { kube, sent, tell } = given();
  const { promise, resolve } = Promise.withResolvers<void>();
  kube.before = async () => {
    await promise;
    return fail(503, 'ServiceUnavailable', 'later');
  };
  for (let index = 0; index < 100; index += 1) tell(`u${index}`);
  expect(kube.calls).toHaveLength(16);
  resolve();
  await promise;
  kube.before = () => undefined;
  await expect
    .poll(() => {
      tell('u');
      return sent.length;
    })
    .toBeGreaterThan(0);
});
