import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LintOptions, runLint } from '../../../src/cli/commands/lint.ts';
import { policySettingsSchema } from '../../../src/policy/settings.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stepmemo-lint-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function write(name: string, content: string | Uint8Array): Promise<string> {
  const file = join(folder, name);
  await mkdir(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function lint(files: readonly string[], options: Partial<LintOptions> = {}, policy: object = {}): Promise<Run> {
  const out: string[] = [];
  const err: string[] = [];
  const output = { print: (text: string) => void out.push(text), printError: (text: string) => void err.push(text) };
  const defaults: LintOptions = { files, mode: 'managed', output: 'text', namespace: 'default', argoVersion: '4.0.5' };
  const config = { policy: policySettingsSchema.parse(policy), controllerNamespace: 'argo' };
  const code = await runLint({ ...defaults, ...options }, config, output);
  const shown = (lines: readonly string[]) => lines.join('\n').replaceAll(`${folder}/`, '');
  return { code, out: shown(out), err: shown(err) };
}

/** `file:line:column severity rule` of each finding. */
function brief({ out }: Run): string[] {
  return out
    .split('\n')
    .slice(0, -1)
    .map((line) => line.replace(/^(\S+): (\w+): .* \[([\w.-]+)\]$/, '$1 $2 $3'));
}

const workflow = (memoize: string, more = '') => `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: wf
spec:
  entrypoint: main
  templates:
    - name: main
      container: {image: busybox}
      memoize: ${memoize}
${more}`;
const GOOD = '{key: k, maxAge: 1h, cache: {configMap: {name: c}}}';
const BAD = '{key: k, maxAge: 1d, cache: {configMap: {name: c}}}';

describe('what it says', () => {
  it('is one line a finding, with its line and column, and a summary', async () => {
    const file = await write(
      'a.yaml',
      workflow('\n        key: k\n        maxAge: 1d\n        cache:\n          configMap:\n            name: A'),
    );
    expect(await lint([file])).toEqual({
      code: 1,
      err: '',
      out: [
        'a.yaml:12:9: deny: spec.templates[0].memoize.maxAge: "1d" is no duration as Argo reads it. There is no unit for days: write "24h". [max-age-invalid]',
        'a.yaml:15:13: deny: spec.templates[0].memoize.cache.configMap.name: "A" is no valid name of a ConfigMap. Use lower case letters, digits, "-" and ".", at most 253 characters, as in "my-cache". [cache-name-invalid]',
        '2 denied, 0 warnings: 1 object in 1 file, Argo 4.0.5, managed mode',
      ].join('\n'),
    });
  });

  it('points to what is there when something is missing', async () => {
    const file = await write('a.yaml', workflow('\n        maxAge: 1h\n        cache: {}'));
    expect(brief(await lint([file]))).toEqual(['a.yaml:10:7 deny key-invalid', 'a.yaml:12:9 deny cache-name-invalid']);
  });

  it('is JSON for programs', async () => {
    const file = await write('a.yaml', workflow(BAD));
    const { out } = await lint([file], { output: 'json' });
    expect(JSON.parse(out)).toMatchObject({
      errors: [],
      fileCount: 1,
      objectCount: 1,
      argoVersion: '4.0.5',
      mode: 'managed',
      findings: [
        {
          file: 'a.yaml',
          line: 10,
          column: 25,
          kind: 'Workflow',
          object: 'wf',
          rule: 'max-age-invalid',
          severity: 'deny',
          path: 'spec.templates[0].memoize.maxAge',
          pointer: '/spec/templates/0/memoize/maxAge',
        },
      ],
    });
  });

  it('is SARIF for code scanning', async () => {
    const file = await write('a.yaml', workflow(BAD));
    const sarif = JSON.parse((await lint([file, join(folder, 'none.yaml')], { output: 'sarif' })).out);
    expect(sarif).toMatchObject({ version: '2.1.0', runs: [{ tool: { driver: { name: 'stepmemo' } } }] });
    const [run] = sarif.runs;
    expect(run.tool.driver.rules.map(({ id }: { id: string }) => id)).toEqual(['max-age-invalid']);
    expect(run.invocations[0].executionSuccessful).toBe(false);
    expect(run.results[0]).toMatchObject({
      ruleId: 'max-age-invalid',
      ruleIndex: 0,
      level: 'error',
      locations: [{ physicalLocation: { region: { startLine: 10, startColumn: 25 } } }],
    });
  });
});

describe('exit codes', () => {
  it.each([
    ['nothing', GOOD, 0],
    ['warnings alone', '{key: "{{workflow.name}}", maxAge: 1h, cache: {configMap: {name: c}}}', 0],
    ['a denial', BAD, 1],
  ])('%s', async (_, memoize, code) => {
    expect((await lint([await write('a.yaml', workflow(memoize))])).code).toBe(code);
  });

  it('2 where something cannot be read, and the rest is linted all the same', async () => {
    const bad = await write('a.yaml', workflow(BAD));
    const run = await lint([join(folder, 'none.yaml'), bad]);
    expect(run.code).toBe(2);
    expect(run.err).toContain('none.yaml: there is no such file');
    expect(brief(run)).toEqual(['a.yaml:10:25 deny max-age-invalid']);
  });

  it.each([
    ['no YAML', 'a: [', /a.yaml:1:5: /],
    ['invalid UTF-8', new Uint8Array([0x61, 0x3a, 0x20, 0xff, 0xfe]), /a.yaml: it is not valid UTF-8/],
    ['an alias bomb', aliasBomb(), /a.yaml:1:\d+: the aliases of this document stand for far too much/],
    ['a cut quotation', 'a: "b', /a.yaml:1:4: the closing quote of this text is missing/],
    ['deep nesting', '['.repeat(50_000), /a.yaml:?/],
  ])('2 for %s', async (_, content, message) => {
    const run = await lint([await write('a.yaml', content)]);
    expect(run.code).toBe(2);
    expect(run.err).toMatch(message);
  });

  it('2 for a folder without any file to read', async () => {
    expect(await lint([folder])).toMatchObject({ code: 2, err: expect.stringContaining('no YAML or JSON file') });
  });
});

function aliasBomb(): string {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let index = 1; index < 12; index += 1) {
    const alias = `*a${index - 1}`;
    lines.push(`a${index}: &a${index} [${Array.from({ length: 10 }, () => alias).join(', ')}]`);
  }
  return lines.join('\n');
}

describe('what it reads', () => {
  it('several documents, with the line of each', async () => {
    const file = await write('a.yaml', [workflow(GOOD), workflow(BAD), '# nothing\n'].join('---\n'));
    expect(brief(await lint([file]))).toEqual(['a.yaml:21:25 deny max-age-invalid']);
  });

  it('folders, to any depth, YAML and JSON alike', async () => {
    await write('b/c.yml', workflow(BAD));
    await write(
      'b/d.json',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'List',
        items: [
          { apiVersion: 'argoproj.io/v1alpha1', kind: 'Workflow', spec: { templates: [{ name: 'a', memoize: 1 }] } },
        ],
      }),
    );
    await write('b/e.txt', 'a: [');
    await write('b/.hidden/f.yaml', 'a: [');
    expect(brief(await lint([folder])).map((line) => line.split(' ').slice(1).join(' '))).toEqual([
      'deny max-age-invalid',
      'deny memoize-malformed',
    ]);
  });

  it('merge keys and aliases, pointing to where the value stands', async () => {
    const file = await write(
      'a.yaml',
      `x: &base
  key: k
  maxAge: 1d
apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  templates:
    - name: a
      container: {}
      memoize:
        <<: *base
        cache: &c {configMap: {name: c}}
    - name: b
      container: {}
      memoize: {key: k, maxAge: 2d, cache: *c}
`,
    );
    expect(brief(await lint([file]))).toEqual(['a.yaml:3:3 deny max-age-invalid', 'a.yaml:15:25 deny max-age-invalid']);
  });

  it('aliases that point upwards', async () => {
    const file = await write(
      'a.yaml',
      'kind: Workflow\nspec: &s\n  templates: &t\n    - {name: a, steps: [[{inline: *s}]], memoize: {key: *t}}\n',
    );
    expect([0, 1, 2]).toContain((await lint([file])).code);
  });

  it('quoted texts with little indentation, as kubectl takes them', async () => {
    const file = await write(
      'a.yaml',
      workflow(
        BAD,
        `    - name: b
      container:
        args: ["
    say \\"hello\\"
  and go
"]
    - name: c
      container:
        args: ['
it''s
']
      memoize: ${BAD.replace('1d', '3d')}
`,
      ),
    );
    expect(brief(await lint([file]))).toEqual([
      'a.yaml:10:25 deny max-age-invalid',
      'a.yaml:22:25 deny max-age-invalid',
    ]);
  });

  it('duplicate keys as kubectl does, and says so', async () => {
    const file = await write('a.yaml', workflow(GOOD, `      memoize: ${BAD}\n`));
    expect(brief(await lint([file]))).toEqual(['a.yaml:11:7 warn duplicate-key', 'a.yaml:11:25 deny max-age-invalid']);
  });

  it('passes by what is no object of Kubernetes', async () => {
    const file = await write('a.yaml', 'just text\n---\n- a\n- b\n---\nkind: Deployment\nspec: {templates: 5}\n---\n');
    expect(await lint([file])).toMatchObject({ code: 0, err: '' });
  });
});

describe('references among the input', () => {
  const template = (namespace: string) => `apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: lib${namespace}}
spec:
  templates:
    - name: work
      container: {image: x}
      memoize: {key: k, maxAge: 1h, cache: {configMap: {name: c}}}
`;
  const caller = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: wf, namespace: team-a}
spec:
  templateDefaults:
    outputs: {}
  templates:
    - name: main
      steps:
        - - name: a
            templateRef: {name: lib, template: work}
`;
  const configMap = (labels = '', name = 'c') => `apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}${labels}}
`;

  it('are told once, where the template stands', async () => {
    const files = [await write('a.yaml', caller), await write('b.yaml', template(''))];
    expect(brief(await lint(files, { argoVersion: '3.4.17' }))).toEqual(['b.yaml:8:7 deny outputless-before-3.5']);
  });

  it('keep to the namespace', async () => {
    const files = [await write('a.yaml', caller), await write('b.yaml', template(', namespace: team-b'))];
    expect(brief(await lint(files, { argoVersion: '3.4.17' }))).toEqual(['b.yaml:8:7 deny outputless-before-3.5']);
    expect(brief(await lint([files[0] ?? ''], { argoVersion: '3.4.17' }))).toEqual([]);
  });

  it('find caches without their label', async () => {
    const file = await write('a.yaml', workflow(GOOD));
    const plain = await write('c.yaml', configMap());
    const label = ', labels: {workflows.argoproj.io/configmap-type: Cache}';
    const labeled = await write('d.yaml', configMap(label));
    const elsewhere = await write('e.yaml', configMap(', namespace: elsewhere'));
    expect(brief(await lint([file, plain]))).toEqual(['a.yaml:10:57 deny cache-unlabeled']);
    expect(brief(await lint([file, labeled]))).toEqual([]);
    expect(brief(await lint([file, elsewhere]))).toEqual([]);
    expect(brief(await lint([file]))).toEqual([]);
  });

  it('judge the entries of caches', async () => {
    const text = `${configMap(', labels: {workflows.argoproj.io/configmap-type: Cache}')}data:\n  good: '{"nodeID":"n","outputs":null,"creationTimestamp":null,"lastHitTimestamp":null}'\n  bad: text\n`;
    expect(brief(await lint([await write('a.yaml', text)]))).toEqual(['a.yaml:6:3 deny entry-invalid']);
  });
});

describe('settings', () => {
  it('come from the configuration, and a flag beats it', async () => {
    const file = await write('a.yaml', workflow(BAD));
    expect((await lint([file], {}, { rules: { 'max-age-invalid': 'warn' } })).code).toBe(0);
    expect(
      (await lint([file], { rules: { 'max-age-invalid': 'deny' } }, { rules: { 'max-age-invalid': 'warn' } })).code,
    ).toBe(1);
  });

  it('say the version where no flag does; without any it is unknown and nothing is guessed', async () => {
    const file = await write('a.yaml', workflow(GOOD));
    expect(brief(await lint([file], { argoVersion: undefined }, { argoVersion: '3.4.17' }))).toEqual([
      'a.yaml:10:7 deny outputless-before-3.5',
    ]);
    const unknown = await lint([file], { argoVersion: undefined });
    expect(brief(unknown)).toEqual(['a.yaml:10:7 warn outputless-before-3.5']);
    expect(unknown.code).toBe(0);
  });

  it('choose the mode', async () => {
    const file = await write('a.yaml', workflow('{key: a.b, maxAge: 1h, cache: {configMap: {name: c}}}'));
    expect(brief(await lint([file]))).toEqual([]);
    expect(brief(await lint([file], { mode: 'native' }))).toEqual(['a.yaml:10:17 deny key-invalid']);
  });
});
