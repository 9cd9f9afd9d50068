import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { rewrite, runMigrateFiles } from '../../../src/cli/files/migrate-files.ts';

function forth(text: string) {
  const result = rewrite(text, false);
  if (!result.ok) throw new Error(result.message);
  return result.value;
}

function back(text: string): string {
  const result = rewrite(text, true);
  if (!result.ok) throw new Error(result.message);
  return result.value.text;
}

const MANIFEST = `# Kept.
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: shared,   labels: {a: "b"}}
spec:
  templates:
    # Steps do the calling.
    - name: main
      steps: [[{name: s, template: work}]]

    - name: work
      # A day is enough.
      memoize:
        key: "k-{{inputs.parameters.x}}"   # by x
        maxAge: '24h'
        cache:
          configMap: {name: c}
      container:
        args: [ "a",  b ]   # odd spacing
        image: x
`;

describe('rewrite', () => {
  it('changes nothing but the block, which the annotations take the place of', () => {
    const { text, notes } = forth(MANIFEST);
    expect(text).toBe(`# Kept.
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: shared,   labels: {a: "b"}}
spec:
  templates:
    # Steps do the calling.
    - name: main
      steps: [[{name: s, template: work}]]

    - name: work
      # A day is enough.
      # by x
      metadata:
        annotations:
          stepmemo.io/key: "k-{{inputs.parameters.x}}"
          stepmemo.io/cache: "c"
          stepmemo.io/max-age: "24h"
          stepmemo.io/moved-from: "memoize"
      container:
        args: [ "a",  b ]   # odd spacing
        image: x
`);
    expect(notes).toEqual(['WorkflowTemplate shared: spec.templates[1].memoize moved into annotations.']);
  });

  it('comes back to the same object', () => {
    expect(parse(back(forth(MANIFEST).text))).toEqual(parse(MANIFEST));
  });

  it('changes nothing the second time', () => {
    const { text } = forth(MANIFEST);
    expect(forth(text)).toEqual({ text, notes: [], isChanged: false });
  });

  it('adds to annotations that are there, and keeps what was said inside the block', () => {
    const text = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  templates:
  - memoize:
      key: a
      # for a while
      maxAge: 1h
      cache: {configMap: {name: c}}
    metadata:
      annotations:
        other: "1" # stays
    script: {source: x}
`;
    expect(forth(text).text).toBe(`apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  templates:
  - # for a while
    metadata:
      annotations:
        other: "1" # stays
        stepmemo.io/key: "a"
        stepmemo.io/cache: "c"
        stepmemo.io/max-age: "1h"
        stepmemo.io/moved-from: "memoize"
    script: {source: x}
`);
  });

  it('rewrites the one document among several that has something to move, Windows line ends and all', () => {
    const others = ['apiVersion: v1\nkind: ConfigMap\ndata: {memoize:   "---"}\n', '\n# nothing here\n'];
    const text = `---\n${others[0]}---\n${MANIFEST}--- # last\n${others[1]}`.replaceAll('\n', '\r\n');
    const expected = `---\n${others[0]}---\n${forth(MANIFEST).text}--- # last\n${others[1]}`.replaceAll('\n', '\r\n');
    expect(forth(text).text).toBe(expected);
  });

  it('prints a document anew where the block stands in a flow collection, and says so', () => {
    const text = `kind: Workflow # a comment
apiVersion: argoproj.io/v1alpha1
spec: {templates: [{container: {}, memoize: {key: a, cache: {configMap: {name: c}}}}]}
`;
    const result = forth(text);
    expect(result.notes).toContain('Workflow: printed anew, its layout may differ.');
    expect(result.text).toContain('# a comment');
    expect(parse(result.text).spec.templates[0].metadata.annotations['stepmemo.io/key']).toBe('a');
  });

  it('gives copies of the defaults to steps, after their name', () => {
    const text = `apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: n}
spec:
  workflowSpec:
    templateDefaults:
      memoize: {key: k, maxAge: 1h, cache: {configMap: {name: c}}}
    templates:
    - name: main
      steps:
      - - {name: s, template: t}
    - name: t
      container: {image: x}`;
    const { text: after, notes } = forth(text);
    expect(after).toContain('    - name: main\n      memoize:\n        key: "k"\n');
    expect(notes).toContain('CronWorkflow n: spec.workflowSpec.templates[0] got a copy of templateDefaults.memoize.');
    expect(parse(back(after))).toEqual(parse(text));
  });

  it('reads Lists, and JSON with its own indentation', () => {
    const list = { apiVersion: 'v1', kind: 'List', items: [{ kind: 'Pod' }, parse(MANIFEST)] };
    const json = `${JSON.stringify(list, null, 3)}\n`;
    const { text } = forth(json);
    const expected = { ...list, items: [{ kind: 'Pod' }, parse(forth(MANIFEST).text)] };
    expect(JSON.parse(text)).toEqual(expected);
    expect(text).toMatch(/^\{\n {3}"apiVersion": "v1",\n[\s\S]*\}\n$/);
    expect(parse(forth(stringify(list)).text)).toEqual(expected);
    expect(JSON.parse(back(text))).toEqual(list);
  });

  it('carries a block that comes by an alias, and gives up where the way leads through one', () => {
    const alias = MANIFEST.replace('memoize:\n', 'memoize: &m\n').replace(
      'name: main\n',
      'name: other\n      memoize: {key: z, cache: {configMap: {name: c}}}\n      script: {source: x}\n    - name: main\n',
    );
    expect(forth(alias).notes).toHaveLength(2);
    const merged = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
base: &base
  memoize: {key: a, cache: {configMap: {name: c}}}
spec:
  templates:
    - <<: *base
      container: {image: x}
`;
    expect(rewrite(merged, false)).toEqual({
      ok: false,
      message: 'Workflow cannot be rewritten: its aliases or merge keys are in the way: write the annotations by hand',
      exitCode: 1,
    });
  });

  it.each([
    ['a: b: c', /is no YAML/],
    ['a: *nowhere', /is no YAML/],
    ['a: 1\na: 2', /is no YAML/],
    ['- {{- if .Values.x }}', /is no YAML/],
  ])('says that %j cannot be read', (text, message) => {
    expect(rewrite(text, false)).toMatchObject({ ok: false, message: expect.stringMatching(message), exitCode: 2 });
  });

  it('is the same move on the text as on the object, whatever the layout', () => {
    const template = fc.record({
      name: fc.constant('t'),
      memoize: fc.record({ key: fc.string(), maxAge: fc.string(), cache: fc.constant({ configMap: { name: 'c' } }) }),
      container: fc.constant({ args: ['x\ny\n', '# no comment'] }),
    });
    fc.assert(
      fc.property(fc.array(template, { minLength: 1, maxLength: 3 }), fc.constantFrom(2, 4), (templates, indent) => {
        const object = { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', spec: { templates } };
        const text = stringify(object, { indent, lineWidth: 40 });
        const result = forth(text);
        expect(result.notes.join()).not.toContain('printed anew');
        expect(parse(back(result.text))).toEqual(object);
      }),
      { numRuns: 200 },
    );
  });
});

describe('runMigrateFiles', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'migrate-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function run(files: Record<string, string>, options: { write?: boolean; back?: boolean; extra?: string[] } = {}) {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const printed: string[] = [];
    const errors: string[] = [];
    const code = runMigrateFiles(
      {
        files: [...Object.keys(files), ...(options.extra ?? [])].map((name) => join(folder, name)),
        write: options.write === true,
        back: options.back === true,
      },
      { print: (text) => printed.push(text), printError: (text) => errors.push(text) },
    );
    return { code, printed, errors };
  }
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

  it('prints the result and leaves the files alone, unless asked to write', () => {
    const { code, printed } = run({ 'a.yaml': MANIFEST, 'b.yaml': 'a: b\n' });
    expect(code).toBe(0);
    expect(printed.join('\n')).toBe(`${forth(MANIFEST).text}---\na: b`);
    expect(parseAllDocuments(printed.join('\n'))).toHaveLength(2);
    expect(read('a.yaml')).toBe(MANIFEST);
  });

  it('writes what changes, and tells which', () => {
    const { code, printed } = run({ 'a.yaml': MANIFEST, 'b.yaml': 'a:   b\n' }, { write: true });
    expect([code, printed]).toEqual([0, [`rewritten: ${join(folder, 'a.yaml')}`]]);
    expect([read('a.yaml'), read('b.yaml')]).toEqual([forth(MANIFEST).text, 'a:   b\n']);
    run({ 'c.yaml': forth(MANIFEST).text }, { write: true, back: true });
    expect(parse(read('c.yaml'))).toEqual(parse(MANIFEST));
  });

  it('writes nothing at all when one file cannot be read', () => {
    const { code, errors } = run({ 'a.yaml': MANIFEST }, { write: true, extra: ['missing.yaml'] });
    expect(code).toBe(2);
    expect(errors.at(-1)).toContain('missing.yaml cannot be read');
    expect(read('a.yaml')).toBe(MANIFEST);
  });
});
