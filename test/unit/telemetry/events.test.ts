import { describe, expect, it } from 'vitest';
import type { JsonPatch } from '../../../src/base/json-patch.ts';
import { createLog } from '../../../src/base/log.ts';
import type { KubeApi, KubeObject, ObjectPath } from '../../../src/kube/types.ts';
import { createEventRecorder, type EventInput, type EventRecorderOptions } from '../../../src/telemetry/events.ts';

const log = createLog('fatal');

function recorderWith(create: KubeApi['create'], more: Partial<EventRecorderOptions> = {}) {
  const kube = { create } as unknown as KubeApi;
  return createEventRecorder({ kube, log, reportingInstance: 'replica-1', ...more });
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
    for (let i = 0; i < 100; i++) record(event({ regarding: { ...event().regarding, uid: `u${i}` } }));
    expect(under).toBe(16);
  });

  it('makes of ten thousand that say the same a dozen, of which the last counts the others', async () => {
    const made: KubeObject[] = [];
    const counts: unknown[] = [];
    let end = (): void => undefined;
    const isCounted = new Promise<void>((resolve) => {
      end = resolve;
    });
    const kube = {
      create: async (_: unknown, body: KubeObject) => {
        const name = `event-${made.push(body)}`;
        // Longer than a series gathers: the count must not be lost by that.
        await new Promise((resolve) => setTimeout(resolve, 50));
        return { ok: true, value: { metadata: { name } } };
      },
      patch: async (path: ObjectPath, patch: JsonPatch) => {
        counts.push([path.name, ...patch]);
        end();
        return { ok: true, value: {} };
      },
    } as unknown as KubeApi;
    const record = recorderWith(kube.create, { kube, flushMs: 20 });
    for (let i = 0; i < 10_000; i++) record(event({ message: `pod p-${i}: no entry` }));
    await isCounted;
    expect(made.map(({ note }) => note)).toEqual(Array.from({ length: 11 }, (_, i) => `pod p-${i}: no entry`));
    expect(counts).toEqual([
      [
        'event-11',
        { op: 'add', path: '/series', value: { count: 9_990, lastObservedTime: expect.stringMatching(/000Z$/) } },
      ],
    ]);
  });

  it('lets no namespace write more than its share, and counts what it dropped', () => {
    let made = 0;
    let dropped = 0;
    let nowMs = 0;
    const create = async () => {
      made += 1;
      return { ok: true as const, value: {} };
    };
    const onDrop = () => {
      dropped += 1;
    };
    const record = recorderWith(create, { onDrop, nowMs: () => nowMs });
    const send = (namespace: string, count: number, from = 0) => {
      for (let i = from; i < from + count; i++)
        record(event({ regarding: { ...event().regarding, namespace, uid: `u${i}` } }));
    };
    send('greedy', 150);
    expect(dropped).toBe(50);
    send('other', 10);
    expect(dropped).toBe(50);
    nowMs = 5_000;
    send('greedy', 12, 1_000);
    expect(dropped).toBe(52);
    expect(made).toBeLessThanOrEqual(120);
  });
});
