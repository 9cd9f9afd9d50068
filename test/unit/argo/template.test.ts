import { describe, expect, it } from 'vitest';
import { findOverlappingMount, parseTemplate, readTemplate } from '../../../src/argo/template.ts';
import { buildPod, CONTAINER, LAYOUTS, PLAIN_TEMPLATE } from '../../support/argo-pod.ts';

type Json = Record<string, unknown>;

describe('readTemplate', () => {
  it.each(LAYOUTS)('finds ARGO_TEMPLATE where Argo %s puts it, for every kind of step', (layout) => {
    const kinds = { container: CONTAINER, script: CONTAINER, containerSet: { containers: [] }, resource: {}, data: {} };
    for (const [kind, body] of Object.entries(kinds)) {
      const pod = buildPod({ layout, template: { [kind]: body, outputs: {} } });
      expect(readTemplate(pod), `${kind} of ${layout}`).toMatchObject({ state: 'inline', kind });
    }
  });

  it.each(LAYOUTS)("prefers Argo's own containers to the user's init containers (%s)", (layout) => {
    const pod = buildPod({ layout, userInitContainers: ['prepare'] });
    const spec = pod.spec as { initContainers: Json[] };
    // As a podSpecPatch could do it, and put it first.
    const user = spec.initContainers.find(({ name }) => name === 'prepare') as Json;
    user.env = [{ name: 'ARGO_TEMPLATE', value: JSON.stringify({ name: 'forged', container: {} }) }];
    spec.initContainers.sort((a) => (a.name === 'prepare' ? -1 : 1));
    expect(readTemplate(pod)).toMatchObject({ state: 'inline', template: { name: 'main' } });
  });

  it('reads the only one there is', () => {
    const pod = buildPod({ layout: '4.1.2-initless', userInitContainers: ['prepare'] });
    const spec = pod.spec as { containers: Json[] };
    for (const container of spec.containers) container.env = [];
    expect(readTemplate(pod)).toMatchObject({ state: 'inline', kind: 'container' });
  });

  it('knows an offloaded one', () => {
    expect(readTemplate(buildPod({ isOffloaded: true }))).toEqual({ state: 'offloaded' });
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['a reference', { name: 'ARGO_TEMPLATE', valueFrom: { configMapKeyRef: {} } }],
    ['no JSON', { name: 'ARGO_TEMPLATE', value: '{' }],
    ['an empty text', { name: 'ARGO_TEMPLATE' }],
    ['a list', { name: 'ARGO_TEMPLATE', value: '[]' }],
    ['wrong types', { name: 'ARGO_TEMPLATE', value: '{"container":{},"outputs":{"parameters":"x"}}' }],
    ['artifact GC', { name: 'ARGO_TEMPLATE', value: '{}' }],
    ['a body that makes no pod', { name: 'ARGO_TEMPLATE', value: '{"steps":[]}' }],
  ])('calls a pod unreadable that has %s', (_, entry) => {
    const pod = { spec: { containers: [{ name: 'main', env: entry === undefined ? [] : [entry] }] } };
    expect(readTemplate(pod).state).toBe('unreadable');
  });
});

describe('parseTemplate', () => {
  it('keeps what it does not know', () => {
    const reading = parseTemplate(JSON.stringify({ ...PLAIN_TEMPLATE, pendingTimeout: '1m' }));
    expect(reading).toMatchObject({ state: 'inline', template: { pendingTimeout: '1m' } });
  });

  it('takes null for absent, as Go does', () => {
    expect(parseTemplate('{"container":{},"script":null,"memoize":null,"outputs":null,"daemon":null}')).toMatchObject({
      state: 'inline',
      kind: 'container',
    });
  });
});

describe('findOverlappingMount', () => {
  const mounts = ['/work', '/work/sub/', '/', '/workshop'].map((mountPath) => ({ mountPath }));

  it.each([
    ['/work/a', '/work'],
    ['/work', '/work'],
    ['/work/sub/a', '/work/sub/'],
    ['/work/subway', '/work'],
    ['/worker', '/'],
    ['/workshop/x', '/workshop'],
  ])('finds the deepest one for %s', (path, mountPath) => {
    expect(findOverlappingMount(mounts, path)).toEqual({ mountPath });
  });

  it('finds none', () => {
    expect(findOverlappingMount([{ mountPath: '/work' }, { mountPath: 7 }], '/tmp/x')).toBeUndefined();
  });
});
