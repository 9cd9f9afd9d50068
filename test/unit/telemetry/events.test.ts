import { describe, expect, it } from 'vitest';
import { createLog } from '../../../src/base/log.ts';
import type { KubeApi, KubeObject } from '../../../src/kube/types.ts';
import { createEventRecorder, type EventInput } from '../../../src/telemetry/events.ts';

const log = createLog('fatal');

function recorderWith(create: KubeApi['create']) {
  return createEventRecorder({ create } as unknown as KubeApi, log, 'replica-1');
}

const event = (overrides: Partial<EventInput> = {}): EventInput => ({
  regarding: { apiVersion: 'v1', kind: 'Pod', namespace: 'team-a', name: 'pod-1', uid: 'u' },
  type: 'Normal',
  reason: 'no-entry',
  message: 'm',
  ...overrides,
});

describe('the event recorder', () => {
  it('sends the reason in UpperCamelCase, in the namespace of what it regards, with a name that the API takes', async () => {
    const sent = await new Promise<{ where: unknown; body: KubeObject }>((resolve) => {
      recorderWith(async (where, body) => {
        resolve({ where, body });
        return { ok: true, value: {} };
      })(event({ message: 'x'.repeat(2000) }));
    });
    expect(sent.where).toMatchObject({ namespace: 'team-a' });
    expect(sent.body).toMatchObject({ reason: 'NoEntry', regarding: { name: 'pod-1', uid: 'u' }, type: 'Normal' });
    expect(String(sent.body.note)).toHaveLength(1024);
    expect(sent.body.metadata?.generateName).toMatch(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?-$/);
    expect(sent.body.eventTime).toMatch(/\.\d{6}Z$/);
  });

  it('lives on when Events cannot be sent', async () => {
    let calls = 0;
    const both = new Promise<void>((resolve) => {
      const record = recorderWith(async () => {
        calls += 1;
        if (calls === 2) resolve();
        throw new Error('gone');
      });
      record(event());
      record(event());
    });
    await both;
    expect(calls).toBe(2);
  });

  it('never has more than sixteen on their way', () => {
    let under = 0;
    const record = recorderWith(() => {
      under += 1;
      return new Promise(() => {});
    });
    for (let i = 0; i < 100; i++) record(event());
    expect(under).toBe(16);
  });
});
