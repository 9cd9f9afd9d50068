import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSidecarTemplate } from '../../../src/sidecar/template.ts';

const read = (template: unknown) => readSidecarTemplate(JSON.stringify(template));

describe('readSidecarTemplate', () => {
  it('waits for main, or for all members of a container set', () => {
    expect(read({ container: {} })).toEqual({ mains: ['main'], parameters: [] });
    const containers = [{ name: 'a' }, { name: 'main' }];
    expect(read({ containerSet: { containers } })).toMatchObject({ mains: ['a', 'main'] });
  });

  it.each([
    ['/work', true],
    ['/work/out', true],
    ['/works', false],
    ['/tmp/work', false],
    ['/deep/er/out', true],
  ])('knows whether %s lies in a mount: %s', (path, isMounted) => {
    const volumeMounts = [{ mountPath: '/work/' }, { mountPath: '/deep/er' }, { mountPath: 7 }];
    for (const kind of ['container', 'script', 'containerSet']) {
      const template = read({
        [kind]: { volumeMounts, containers: [{ name: 'main' }] },
        outputs: { parameters: [{ name: 'out', valueFrom: { path } }] },
      });
      expect(template).toMatchObject({ parameters: [{ name: 'out', path, isMounted }] });
    }
  });

  it.each(['', '{"container": {}, "out', '\u0000'])('takes %j for half written', (text) => {
    expect(readSidecarTemplate(text)).toBe('no-json');
  });

  it.each([
    null,
    [],
    'text',
    { containerSet: { containers: [] } },
    { containerSet: { containers: [{ name: '..' }] } },
    { containerSet: { containers: [{ name: 'a/b' }] } },
    { containerSet: { containers: [{ name: 'a'.repeat(64) }] } },
    { containerSet: { containers: [{}] } },
  ])('takes %j for no template', (template) => {
    expect(read(template)).toBe('no-template');
  });

  it('understands any JSON at all, or says that it does not', () => {
    const member = fc.constantFrom('containerSet', 'containers', 'outputs', 'parameters', 'valueFrom', 'path', 'name');
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.jsonValue(),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(member, tie('value'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(value, (json) => {
        const template = read(json);
        if (typeof template === 'string') return;
        for (const { name, path } of template.parameters)
          expect([typeof name, typeof path]).toEqual(['string', 'string']);
      }),
      { numRuns: 500 },
    );
  });
});
