import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { runMigrateFiles } from '../../../src/cli/files/migrate-files.ts';
import { readManifest } from '../../../src/cli/files/read-manifests.ts';
import { rewriteManifest } from '../../../src/cli/files/rewrite-manifest.ts';
import { createRandom } from '../../support/random.ts';
import { workflowText } from '../../support/workflow-texts.ts';

function forth(text: string) {
  return rewriteManifest(text, readManifest(text), 'forth');
}

function back(text: string): string {
  const { text: result, failures } = rewriteManifest(text, readManifest(text), 'back');
  expect(failures).toEqual([]);
  return result;
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
      # stepmemo migrate: memoize stood here
      #| memoize:
      #|   key: "k-{{inputs.parameters.x}}"   # by x
      #|   maxAge: '24h'
      #|   cache:
      #|     configMap: {name: c}
      metadata:
        annotations:
          stepmemo.io/key: "k-{{inputs.parameters.x}}"
          stepmemo.io/max-age: '24h'
          stepmemo.io/cache: c
          stepmemo.io/moved-from: "memoize"
      container:
        args: [ "a",  b ]   # odd spacing
        image: x
`);
    expect(notes).toEqual(['WorkflowTemplate shared: spec.templates[1].memoize moved into annotations.']);
  });

  it('comes back to the letter, comments and all', () => {
    expect(back(forth(MANIFEST).text)).toBe(MANIFEST);
  });

  it('leaves no mark where the block would come back by itself', () => {
    const text = `apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
spec:
  templates:
    - name: a
      memoize:
        key: '{{inputs.parameters.x}}'
        maxAge: 1h
        cache:
          configMap:
            name: c
      container: {image: x}
`;
    const there = forth(text).text;
    expect(there).toBe(
      text.replace(
        / {6}memoize:[\s\S]*name: c\n/,
        `      metadata:
        annotations:
          stepmemo.io/key: '{{inputs.parameters.x}}'
          stepmemo.io/max-age: 1h
          stepmemo.io/cache: c
          stepmemo.io/moved-from: "memoize"
`,
      ),
    );
    expect(back(there)).toBe(text);
  });

  it.each([
    '{annotations: ~}',
    '{ annotations: ~ }',
    '{annotations: NULL, labels: {a: b}}',
    '{annotations: }',
    '{labels: {}, annotations: ~ }',
  ])('comes back with null as it was written, within braces: %s', (metadata) => {
    const text = MANIFEST.replace(/( +)memoize:/, `$1metadata: ${metadata}\n$1memoize:`);
    expect(text).toContain(metadata);
    const { text: there } = forth(text);
    expect(parse(there).spec.templates[1].metadata.annotations['stepmemo.io/key']).toBeDefined();
    expect(back(there)).toBe(text);
  });

  it('puts back what the annotations say where somebody has changed them', () => {
    const changed = forth(MANIFEST).text.replace("max-age: '24h'", 'max-age: 48h');
    expect(parse(back(changed)).spec.templates[1].memoize).toEqual({
      key: 'k-{{inputs.parameters.x}}',
      maxAge: '48h',
      cache: { configMap: { name: 'c' } },
    });
  });

  it('changes nothing the second time', () => {
    const { text } = forth(MANIFEST);
    expect(forth(text)).toEqual({ text, notes: [], failures: [] });
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
  - # stepmemo migrate: memoize stood here
    #| memoize:
    #|   key: a
    #|   # for a while
    #|   maxAge: 1h
    #|   cache: {configMap: {name: c}}
    metadata:
      annotations:
        other: "1" # stays
        stepmemo.io/key: a
        stepmemo.io/max-age: 1h
        stepmemo.io/cache: c
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

  it('changes members within braces where they stand', () => {
    const text = `kind: Workflow # a comment
apiVersion: argoproj.io/v1alpha1
metadata: {name: w}
spec: {templates: [{container: {}, memoize: {key: a,  # why
    maxAge: 1h, cache: {configMap: {name: c}}}, name: x}, {name: y, memoize: {key: b}, metadata: {labels: {l: m}}, script: {}}]}
`;
    const { text: there } = forth(text);
    expect(there).toBe(`kind: Workflow # a comment
apiVersion: argoproj.io/v1alpha1
metadata: {name: w}
spec: {templates: [{container: {}, # why
                                   metadata: {annotations: {stepmemo.io/key: a, stepmemo.io/max-age: 1h, stepmemo.io/cache: c, stepmemo.io/moved-from: "memoize"}}, name: x}, {name: y, metadata: {labels: {l: m}, annotations: {stepmemo.io/key: b, stepmemo.io/cache: "", stepmemo.io/max-age: "", stepmemo.io/moved-from: "memoize", stepmemo.io/restore: "without-cache"}}, script: {}}]}
`);
    expect(parse(back(there))).toEqual(parse(text));
  });

  it('gives copies of the defaults to steps, after their name', () => {
    const text = `apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly}
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
    expect(notes).toContain(
      'CronWorkflow nightly: spec.workflowSpec.templates[0] got a copy of templateDefaults.memoize.',
    );
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
    const { text, failures } = forth(merged);
    expect(text).toBe(merged);
    expect(failures).toEqual(['Workflow is left as it is: memoize comes from a merge key (<<). Edit it by hand.']);
  });

  it('leaves an object alone whose anchor would be missed elsewhere, and moves those beside it', () => {
    const shared = MANIFEST.replace('memoize:\n', 'memoize: &m\n').replace(
      'metadata: {name: shared',
      'x: {y: *m}\nmetadata: {name: other',
    );
    const ahead = `${shared.replace('x: {y: *m}\n', '')}again: *m\n`;
    const { text, failures } = forth(`${ahead}---\n${MANIFEST}`);
    expect(failures).toEqual([
      'WorkflowTemplate other is left as it is: the anchor &m in it is used elsewhere. Edit it by hand.',
    ]);
    expect(text).toBe(`${ahead}---\n${forth(MANIFEST).text}`);
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
        const text = stringify(object, { indent, lineWidth: 40, version: '1.1', aliasDuplicateObjects: false });
        const result = forth(text);
        expect(result.failures).toEqual([]);
        expect(back(result.text)).toBe(text);
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

  async function run(
    files: Record<string, string>,
    options: { write?: boolean; back?: boolean; backup?: boolean; extra?: string[] } = {},
  ) {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const printed: string[] = [];
    const errors: string[] = [];
    const code = await runMigrateFiles(
      {
        files: [...Object.keys(files), ...(options.extra ?? [])].map((name) => join(folder, name)),
        write: options.write === true,
        back: options.back === true,
        backup: options.backup === true,
      },
      {
        print: (text) => printed.push(text),
        printRaw: (text) => printed.push(text),
        printError: (text) => errors.push(text),
      },
    );
    return { code, printed, errors };
  }
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

  it('prints the result and leaves the files alone, unless asked to write', async () => {
    const { code, printed } = await run({ 'a.yaml': MANIFEST, 'b.yaml': 'a: b' });
    expect(code).toBe(0);
    expect(printed.join('')).toBe(`${forth(MANIFEST).text}---\na: b`);
    expect(parseAllDocuments(printed.join(''))).toHaveLength(2);
    expect(read('a.yaml')).toBe(MANIFEST);
  });

  it('writes what changes, and tells which', async () => {
    const { code, printed } = await run({ 'a.yaml': MANIFEST, 'b.yaml': 'a:   b\n' }, { write: true });
    expect([code, printed]).toEqual([0, [`rewritten: ${join(folder, 'a.yaml')}`]]);
    expect([read('a.yaml'), read('b.yaml')]).toEqual([forth(MANIFEST).text, 'a:   b\n']);
    await run({ 'c.yaml': forth(MANIFEST).text }, { write: true, back: true });
    expect(read('c.yaml')).toBe(MANIFEST);
  });

  it('writes nothing at all when one file cannot be read, and reports each that cannot', async () => {
    writeFileSync(join(folder, 'latin.yaml'), Buffer.from('# gr\xf6\xdfe\na: b\n', 'latin1'));
    const bad = { 'a.yaml': MANIFEST, 'helm.yaml': 'metadata:\n  name: {{ .Release.Name }}\n' };
    const { code, errors, printed } = await run(bad, { write: true, extra: ['missing.yaml', 'latin.yaml'] });
    expect(code).toBe(2);
    expect(errors.map((error) => error.replaceAll(`${folder}/`, ''))).toEqual([
      'stepmemo migrate: helm.yaml:2:9: this is a Helm template, not a manifest: render it first',
      'stepmemo migrate: missing.yaml: there is no such file',
      'stepmemo migrate: latin.yaml: it is not valid UTF-8',
    ]);
    expect(printed).toEqual([]);
    expect(read('a.yaml')).toBe(MANIFEST);
  });

  it('follows links, keeps the mode, leaves a backup where asked, and no temporary file', async () => {
    mkdirSync(join(folder, 'real'));
    writeFileSync(join(folder, 'real', 'a.yaml'), MANIFEST, { mode: 0o640 });
    symlinkSync(join('real', 'a.yaml'), join(folder, 'link.yaml'));
    const { code } = await run({}, { write: true, backup: true, extra: ['link.yaml'] });
    expect(code).toBe(0);
    expect(lstatSync(join(folder, 'link.yaml')).isSymbolicLink()).toBe(true);
    expect(statSync(join(folder, 'real', 'a.yaml')).mode & 0o777).toBe(0o640);
    expect(read('real/a.yaml')).toBe(forth(MANIFEST).text);
    expect(read('real/a.yaml.orig')).toBe(MANIFEST);
    expect(readdirSync(join(folder, 'real')).sort()).toEqual(['a.yaml', 'a.yaml.orig']);
  });
});

describe('in whatever layout', () => {
  const ROUNDS = 3000;

  it(`moves and comes back to the letter, ${ROUNDS} files`, { timeout: 120_000 }, () => {
    let changed = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const text = workflowText(createRandom(round));
      const there = forth(text);
      const again = forth(there.text);
      const returned = back(there.text);
      const report = `round ${round}\n${text}`;
      expect(there.failures, report).toEqual([]);
      expect(again.text, report).toBe(there.text);
      if (there.text !== text) changed += 1;
      // In braces the member may come back at another place among the others; nothing else may differ.
      if (isBlockStyle(text)) expect(returned, report).toBe(text);
      expect(valuesOf(returned), report).toEqual(valuesOf(text));
      expect(commentsOf(returned), report).toEqual(commentsOf(text));
    }
    expect(changed).toBeGreaterThan(ROUNDS / 2);
  });

  function isBlockStyle(text: string): boolean {
    return !/["']?(memoize|metadata|templates|templateDefaults|inline|spec|workflowSpec)["']?:[ ]*[[{]|^\s*- *\{|^\{/m.test(
      text,
    );
  }

  const valuesOf = (text: string): unknown => readManifest(text).documents.map(({ value }) => value);
  const commentsOf = (text: string): readonly string[] => text.match(/# (a note|why|nothing|first)/g) ?? [];
});
