import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseQuantity } from '../../../src/base/quantity.ts';
import type { LimitRangeItem } from '../../../src/step/known-cluster.ts';
import { fitLimitRanges, type Resources } from '../../../src/step/limit-ranges.ts';
import { buildPod } from '../../support/argo-pod.ts';
import { SETTINGS } from './builders.ts';

type Json = Record<string, unknown>;
const AS_CONFIGURED: Resources = { requests: { cpu: '10m', memory: '64Mi' }, limits: { cpu: '500m', memory: '128Mi' } };

function resourcesFor(items: readonly LimitRangeItem[], mainLimits?: Json): Resources | undefined {
  const pod = buildPod();
  const main = (pod.spec as { containers: Json[] }).containers[1] as Json;
  if (mainLimits !== undefined) main.resources = { limits: mainLimits };
  return fitLimitRanges(pod, SETTINGS.sidecar, items);
}

describe('fitLimitRanges', () => {
  it.each<[string, LimitRangeItem[], Partial<Json>, Partial<Json>]>([
    ['without any', [], {}, {}],
    ['of another type', [{ type: 'PersistentVolumeClaim', max: { storage: '1Gi' } }], {}, {}],
    ['that already hold', [{ type: 'Container', min: { cpu: '1m' }, max: { cpu: '4', memory: '8Gi' } }], {}, {}],
    [
      'with a higher minimum',
      [{ type: 'Container', min: { cpu: '100m', memory: '256Mi' } }],
      { cpu: '100m', memory: '256Mi' },
      { memory: '256Mi' },
    ],
    [
      'with a lower maximum',
      [{ type: 'Container', max: { cpu: '200m', memory: '100Mi' } }],
      {},
      { cpu: '200m', memory: '100Mi' },
    ],
    ['with a ratio', [{ type: 'Container', maxLimitRequestRatio: { cpu: '10', memory: '2' } }], { cpu: '50m' }, {}],
    [
      'with a ratio of one',
      [{ type: 'Container', maxLimitRequestRatio: { cpu: '1', memory: '1' } }],
      { cpu: '500m', memory: '128Mi' },
      {},
    ],
    [
      'with a ratio that leaves no whole number',
      [{ type: 'Container', maxLimitRequestRatio: { memory: '1.5' } }],
      { memory: '89478486' },
      {},
    ],
    ['of a pod with a ratio', [{ type: 'Pod', maxLimitRequestRatio: { cpu: '5' } }], { cpu: '100m' }, {}],
    [
      'twice, the stricter one wins',
      [
        { type: 'Container', max: { cpu: '400m' } },
        { type: 'Container', max: { cpu: '300m' } },
      ],
      {},
      { cpu: '300m' },
    ],
    [
      'of ephemeral storage',
      [{ type: 'Container', min: { 'ephemeral-storage': '50Mi' }, max: { 'ephemeral-storage': '1Gi' } }],
      { 'ephemeral-storage': '50Mi' },
      { 'ephemeral-storage': '50Mi' },
    ],
  ])('keeps to LimitRanges %s', (_, items, requests, limits) => {
    expect(resourcesFor(items)).toEqual({
      requests: { ...AS_CONFIGURED.requests, ...requests },
      limits: { ...AS_CONFIGURED.limits, ...limits },
    });
  });

  it('takes what the sum over the pod leaves', () => {
    expect(resourcesFor([{ type: 'Pod', max: { memory: '1Gi', cpu: '1' } }], { memory: '924Mi', cpu: '800m' })).toEqual(
      {
        requests: { cpu: '10m', memory: '64Mi' },
        limits: { cpu: '200m', memory: '104857600' },
      },
    );
  });

  it.each<[string, LimitRangeItem[], Json?]>([
    ['too little memory to run', [{ type: 'Container', max: { memory: '32Mi' } }]],
    ['too little cpu to be in time', [{ type: 'Container', max: { cpu: '50m' } }]],
    ['no room left in the pod', [{ type: 'Pod', max: { memory: '1Gi' } }], { memory: '1000Mi' }],
    ['a minimum above the maximum', [{ type: 'Container', min: { cpu: '2' }, max: { cpu: '1' } }]],
    ['a resource that stepmemo knows nothing of', [{ type: 'Container', max: { 'example.com/gpu': '1' } }]],
    ['a quantity that is none', [{ type: 'Container', max: { cpu: 'much' } }]],
  ])('finds nothing where there is %s', (_, items, mainLimits) => {
    expect(resourcesFor(items, mainLimits)).toBeUndefined();
  });

  it('whatever it answers is within every bound', () => {
    const cpu = fc.integer({ min: 1, max: 2000 }).map((milli) => `${milli}m`);
    const bounds = fc.record({ min: cpu, max: cpu, ratio: fc.integer({ min: 1, max: 60 }).map(String) });
    fc.assert(
      fc.property(bounds, ({ min, max, ratio }) => {
        const fitted = resourcesFor([
          { type: 'Container', min: { cpu: min }, max: { cpu: max }, maxLimitRequestRatio: { cpu: ratio } },
        ]);
        if (fitted === undefined) return;
        const request = parseQuantity(fitted.requests.cpu) ?? Number.NaN;
        const limit = parseQuantity(fitted.limits.cpu) ?? Number.NaN;
        const [least, most] = [parseQuantity(min) ?? 0, parseQuantity(max) ?? 0];
        expect(request).toBeGreaterThanOrEqual(least);
        expect(limit).toBeLessThanOrEqual(most);
        expect(limit).toBeGreaterThanOrEqual(request);
        expect(limit / request).toBeLessThanOrEqual(Number(ratio) + 1e-9);
      }),
    );
  });
});
