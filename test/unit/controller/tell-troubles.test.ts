import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLog } from '../../../src/base/log.ts';
import type { SeenWorkflow } from '../../../src/controller/result-table.ts';
import { startTroubleTeller, type Trouble } from '../../../src/controller/tell-troubles.ts';
import type { KubeObject, ObjectPath } from '../../../src/kube/types.ts';

let troubles: readonly Trouble[];
let isLeader: boolean;
let newest: readonly SeenWorkflow[];
let reached: ReadonlySet<string>;
let workflows: Map<string, KubeObject>;
let reads: string[];
let told: string[];
let stop: () => void;

const get = async ({ namespace, name }: ObjectPath) => {
  reads.push(`${namespace}/${name}`);
  const value = workflows.get(`${namespace}/${name}`);
  return value === undefined
    ? { ok: false as const, status: 404, reason: 'NotFound', message: 'no' }
    : { ok: true as const, value };
};

beforeEach(() => {
  vi.useFakeTimers();
  [troubles, isLeader, newest, reached, workflows] = [[], true, [], new Set(), new Map()];
  [reads, told] = [[], []];
  stop = startTroubleTeller({
    troubles: () => troubles,
    namespace: 'stepmemo',
    isLeader: () => isLeader,
    newestWorkflows: () => newest,
    hasPodOf: (namespace, name) => reached.has(`${namespace}/${name}`),
    kube: { get },
    everyMs: 60_000,
    log: createLog('fatal'),
    recordEvent: ({ regarding, reason, message }) =>
      void told.push(`${regarding.kind} ${regarding.namespace}/${regarding.name} ${reason}: ${message}`),
  });
});
afterEach(() => {
  stop();
  vi.useRealTimers();
});

const pass = (minutes: number) => vi.advanceTimersByTimeAsync(minutes * 60_000);
const trouble = (text: string, affects?: 'unreached' | 'all'): Trouble => ({
  reason: 'installation-incomplete',
  text,
  ...(affects === undefined ? {} : { forUsers: { text: `${text} for users`, affects } }),
});
const DEPLOYMENT = 'Deployment stepmemo/stepmemo installation-incomplete:';

const memoize = { key: 'k', cache: { configMap: { name: 'c' } } };
const workflow = (template: object): KubeObject => ({
  apiVersion: 'argoproj.io/v1alpha1',
  metadata: { uid: 'u' },
  spec: { templates: [template] },
});

describe('what is wrong with the installation', () => {
  it('is told at the second look, and once an hour', async () => {
    troubles = [trouble('a')];
    await pass(1);
    expect(told).toEqual([]);
    await pass(1);
    expect(told).toEqual([`${DEPLOYMENT} a`]);
    troubles = [trouble('a'), trouble('b')];
    await pass(50);
    expect(told).toEqual([`${DEPLOYMENT} a`, `${DEPLOYMENT} b`]);
    await pass(15);
    expect(told).toHaveLength(4);
  });

  it('is not told when it has passed by the second look', async () => {
    troubles = [trouble('a')];
    await pass(1);
    troubles = [];
    await pass(1);
    troubles = [trouble('a')];
    await pass(1);
    expect(told).toEqual([]);
  });

  it('is told by the leader alone', async () => {
    isLeader = false;
    troubles = [trouble('a')];
    await pass(5);
    expect(told).toEqual([]);
    isLeader = true;
    await pass(2);
    expect(told).toHaveLength(1);
  });
});

describe('what users of a namespace are told', () => {
  beforeEach(() => {
    newest = [
      { namespace: 'team', name: 'wf' },
      { namespace: 'other', name: 'wf' },
    ];
    workflows = new Map([
      ['team/wf', workflow({ name: 't', memoize })],
      ['other/wf', workflow({ name: 't' })],
    ]);
  });
  const ofUsers = () => told.filter((line) => line.startsWith('Workflow'));

  it('stands on the newest Workflow that asks for memoization, once an hour for each trouble', async () => {
    troubles = [trouble('a', 'all'), trouble('b')];
    await pass(2);
    expect(ofUsers()).toEqual(['Workflow team/wf installation-incomplete: a for users']);
    newest = [{ namespace: 'team', name: 'later' }];
    workflows.set('team/later', workflow({ name: 't', memoize }));
    await pass(30);
    expect(ofUsers()).toHaveLength(1);
    await pass(35);
    expect(ofUsers()).toEqual([
      'Workflow team/wf installation-incomplete: a for users',
      'Workflow team/later installation-incomplete: a for users',
    ]);
  });

  it('is nothing of a Workflow whose pods stepmemo has dealt with, where only others are affected', async () => {
    troubles = [trouble('a', 'unreached'), trouble('b', 'all')];
    reached = new Set(['team/wf']);
    await pass(2);
    expect(ofUsers()).toEqual(['Workflow team/wf installation-incomplete: b for users']);
  });

  it('counts what the controller has stored of other objects', async () => {
    troubles = [trouble('a', 'all')];
    const moved = { 'stepmemo.io/moved-from': 'memoize', 'stepmemo.io/key': 'k' };
    workflows = new Map<string, KubeObject>([
      ['team/wf', { status: { storedTemplates: { 'namespaced/x/y': { metadata: { annotations: moved } } } } }],
      ['other/wf', { status: { storedWorkflowTemplateSpec: { templates: [{ memoize }] } } }],
    ]);
    await pass(2);
    expect(ofUsers()).toHaveLength(2);
  });

  it('reads no Workflow while nothing is wrong, and a bounded number otherwise', async () => {
    newest = Array.from({ length: 1000 }, (_, index) => ({ namespace: `n${index}`, name: 'gone' }));
    await pass(5);
    expect(reads).toEqual([]);
    troubles = [trouble('a', 'all')];
    await pass(2);
    expect(reads).toHaveLength(50);
    await pass(30);
    expect(new Set(reads).size).toBe(1000);
    expect(reads).toHaveLength(1000);
    expect(ofUsers()).toEqual([]);
  });
});
