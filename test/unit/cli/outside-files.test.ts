/**
 * Files as people who use these tools have them, each of a kind that was read or written wrongly once: what `lint`,
 * `decide` and `migrate` make of them.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = new URL('../../..', import.meta.url).pathname;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outside-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The command line itself, as a process: what it prints, and how it ends. `input` is written piece by piece. */
async function stepmemo(args: readonly string[], input: readonly (string | Promise<string>)[] = []): Promise<Run> {
  const child = spawn(process.execPath, [join(root, 'src/main.ts'), ...args], { cwd: folder });
  const output = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.err += text;
  });
  const ended = new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? -1)));
  for (const piece of input) child.stdin.write(await piece);
  child.stdin.end();
  return { code: await ended, ...output };
}

function file(name: string, text: string | Uint8Array): string {
  writeFileSync(join(folder, name), text);
  return name;
}

const template = (memoize: string, more = '') => `apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: nightly}
spec:
  templates:
    - name: a
      inputs: {parameters: [{name: x}]}
      outputs: {parameters: [{name: out, valueFrom: {path: /out}}]}
      container: {image: busybox}
${more}      memoize: ${memoize}
`;
const GOOD = '{key: "{{inputs.parameters.x}}", maxAge: 1h, cache: {configMap: {name: my-cache}}}';
const rules = (run: Run) =>
  [...run.out.matchAll(/: (deny|warn): (\S+): .*\[([\w.-]+)\]/g)].map(([, a, b, c]) => `${a} ${b} ${c}`);
const annotationsOf = (run: Run) =>
  [...run.out.matchAll(/stepmemo\.io\/(key|cache|max-age): (.*)/g)].map(([, name, value]) => `${name}=${value}`);
const lint = (name: string) => stepmemo(['lint', '--argo-version', '4.0.5', name]);

describe('what is read', { timeout: 60_000 }, () => {
  it.each(['lint', 'decide', 'migrate'])('standard input to its end, however slow and long: %s', async (command) => {
    const later = new Promise<string>((resolve) => setTimeout(() => resolve(template(GOOD)), 300));
    const filler = '# a line that only fills the pipe\n'.repeat(5000);
    const run = await stepmemo([command, '-'], [later, filler]);
    expect([run.code, run.err.replace(/^standard input: .*\n/, '')]).toEqual([0, '']);
  });

  it('merge keys, in their order', async () => {
    const text = template(`&memo ${GOOD}`).concat(`    - name: b
      container: {image: busybox}
      memoize:
        <<: *memo
        key: b
`);
    const run = await stepmemo(['decide', file('merge.yaml', text)]);
    expect(run.code).toBe(0);
    expect(run.out).not.toContain('<<');
    const values = [...run.out.matchAll(/"stepmemo\.io\/(key|cache|max-age)": "(.*)"/g)].map(
      ([, name, value]) => `${name}=${value}`,
    );
    expect(values.slice(-3)).toEqual(['key=b', 'cache=my-cache', 'max-age=1h']);
  });

  it.each([
    ['yes', 'the boolean true'],
    ['017', 'the number 15'],
    ['0o17', 'the number 15'],
    ['1_000', 'the number 1000'],
    ['0b11', 'the number 3'],
    ['~', ''],
  ])('scalars as YAML 1.1: the key %s', async (key, shown) => {
    const name = file('scalar.yaml', template(`{key: ${key}, maxAge: 1h, cache: {configMap: {name: my-cache}}}`));
    const run = await lint(name);
    expect([run.code, rules(run)]).toEqual([1, ['deny spec.templates[0].memoize.key key-invalid']]);
    expect(run.out).toContain(shown);
    const moved = await stepmemo(['migrate', name]);
    if (shown !== '') expect([moved.code, moved.out]).toEqual([0, readFileSync(join(folder, name), 'utf8')]);
  });

  it('typed lists, lists in lists, and items without a kind', async () => {
    const item = template(GOOD.replace('1h', '1d')).replace(/^/gm, '    ').trimStart();
    const text = `apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplateList
items:
  - metadata: {name: bare}
    spec: {templates: [{name: a, container: {}, memoize: {key: k, maxAge: 1w, cache: {configMap: {name: c}}}}]}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: List
  items:
  - ${item}`;
    const name = file('lists.yaml', text);
    const run = await lint(name);
    expect([run.code, rules(run)]).toEqual([
      1,
      [
        'deny spec.templates[0].memoize.maxAge max-age-invalid',
        'deny spec.templates[0].memoize.maxAge max-age-invalid',
      ],
    ]);
    const moved = await stepmemo(['migrate', name]);
    expect(moved.out.match(/stepmemo\.io\/moved-from/g)).toHaveLength(2);
  });

  it('quoted and bracketed text that goes on at the margin', async () => {
    const text = template(GOOD, '      metadata: {labels: {a: "b\n"}}\n').replace(
      '{image: busybox}',
      `
        image: busybox
        command: [sh,
-c]
        args: ["
          date > /out
"]`,
    );
    const name = file('margin.yaml', text);
    expect((await lint(name)).code).toBe(0);
    expect((await stepmemo(['decide', name])).code).toBe(0);
    const moved = await stepmemo(['migrate', name]);
    expect(moved.code).toBe(0);
    for (const line of text.split('\n').filter((line) => !/memoize|labels/.test(line)))
      expect(moved.out).toContain(line);
  });

  it.each([
    ['a tag for a value', template('{key: a, maxAge: {{ .Values.maxAge }}, cache: {configMap: {name: c}}}'), 10],
    ['a block of tags', `{{- if .Values.on }}\n${template(GOOD)}{{- end }}\n`, 1],
    [
      'a tag on a line of its own',
      template(GOOD).replace('spec:\n', 'spec:\n  {{- toYaml .Values.spec | nindent 2 }}\n'),
      5,
    ],
  ])('no Helm template: %s', async (_, text, line) => {
    const name = file('helm.yaml', text);
    for (const command of ['lint', 'decide', 'migrate']) {
      const run = await stepmemo([command, name]);
      expect(run.code, command).toBe(2);
      expect(run.err).toMatch(new RegExp(`^stepmemo ${command}: helm\\.yaml:${line}:\\d+: .*render it first\\n$`));
      expect(rules(run)).toEqual([]);
    }
  });

  it('of Helm tags in quotes only that they are such', async () => {
    const run = await lint(
      file(
        'quoted-helm.yaml',
        template('{key: "{{ .Values.key }}", maxAge: "{{ .Values.maxAge }}", cache: {configMap: {name: c}}}'),
      ),
    );
    expect(run.code).toBe(0);
    expect(run.out).toContain('render the chart first');
  });

  it('nothing of other groups', async () => {
    const text = template('{key: k, maxAge: 1d}').replace('argoproj.io/v1alpha1', 'example.com/v1');
    const run = await lint(file('foreign.yaml', text));
    expect([run.code, run.out]).toEqual([0, 'nothing found: 0 objects in 1 file, Argo 4.0.5, managed mode\n']);
  });

  it('the last of double keys, with a word on it', async () => {
    const name = file(
      'twice.yaml',
      template(GOOD).replace(
        'container: {image: busybox}\n',
        'container: {image: busybox}\n      script: {source: x}\n      container: {image: alpine}\n',
      ),
    );
    expect(rules(await lint(name))).toEqual(['warn container duplicate-key']);
    const decided = await stepmemo(['decide', name]);
    expect([decided.code, decided.out.includes('stands twice')]).toEqual([0, true]);
    expect((await stepmemo(['migrate', name])).code).toBe(0);
  });

  it('UTF-8 or nothing, and the other files all the same', async () => {
    const latin = file('latin.yaml', Buffer.from(`# gr\xf6\xdfe\n${template(GOOD)}`, 'latin1'));
    const good = file('good.yaml', template(GOOD.replace('1h', '1d')));
    const run = await stepmemo(['lint', latin, good]);
    expect([run.code, rules(run)]).toEqual([2, ['deny spec.templates[0].memoize.maxAge max-age-invalid']]);
    const decided = await stepmemo(['decide', latin, good]);
    expect([decided.code, decided.err]).toEqual([2, 'stepmemo decide: latin.yaml: it is not valid UTF-8\n']);
    expect((await stepmemo(['migrate', '--write', latin, good])).code).toBe(2);
    expect(readFileSync(join(folder, good), 'utf8')).toContain('memoize: {');
  });
});

describe('what is written', { timeout: 60_000 }, () => {
  it('separators as they were, documents beside to the letter', async () => {
    const text = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
--- # the workflow
${template(GOOD)}---
${template(GOOD).replace('nightly', 'daily')}`;
    const run = await stepmemo(['migrate', file('glued.yaml', text)]);
    expect(run.code).toBe(0);
    expect(
      run.out.startsWith(
        '---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n--- # the workflow\napiVersion',
      ),
    ).toBe(true);
    expect(run.out.match(/^---.*$/gm)).toEqual(['---', '--- # the workflow', '---']);
    expect((await lint(file('glued-out.yaml', run.out))).out).toContain('3 objects');
  });

  it('comments within memoize, beside annotations in braces', async () => {
    const text = `${template('', '      metadata: {annotations: {team: blue}}\n').trimEnd()}
        # one entry for all
        key: a
        maxAge: 24h   # the data come once a day
        cache:
          configMap:
            name: my-cache   # made by another team
`;
    const name = file('commented.yaml', text);
    const run = await stepmemo(['migrate', name]);
    expect(run.code).toBe(0);
    for (const comment of ['one entry for all', 'the data come once a day', 'made by another team']) {
      expect(run.out).toContain(`# ${comment}`);
    }
    expect(run.out).toContain('team: blue');
    expect(annotationsOf(run).map((line) => line.split('=')[0])).toEqual(['key', 'max-age', 'cache']);
    const back = await stepmemo(['migrate', '--back', file('commented-out.yaml', run.out)]);
    expect(back.out).toBe(text);
  });

  it('into a pipe that closes early without a word', () => {
    const name = file('long.yaml', template(GOOD) + '# filler\n'.repeat(50_000));
    const script = `"${process.execPath}" "${join(root, 'src/main.ts')}" migrate ${name} 2> errors.txt | head -1`;
    execFileSync('bash', ['-c', script], { cwd: folder });
    expect(readFileSync(join(folder, 'errors.txt'), 'utf8')).not.toContain('EPIPE');
  });
});

describe('whose values count', { timeout: 60_000 }, () => {
  const stored = (keep: string) => `apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: report}
spec:
  entrypoint: main
  arguments: {parameters: [{name: keep, value: "${keep}"}]}
  templates:
    - name: main
      inputs: {parameters: [{name: x, value: "1"}]}
      outputs: {parameters: [{name: out, valueFrom: {path: /out}}]}
      container: {image: busybox}
      memoize: {key: "{{inputs.parameters.x}}", maxAge: "{{workflow.parameters.keep}}", cache: {configMap: {name: c}}}
`;
  const running = (parameters: string) => `---
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: report-}
spec:
  workflowTemplateRef: {name: report}
  arguments: {parameters: [${parameters}]}
`;
  const denials = async (text: string) =>
    rules(await lint(file('values.yaml', text))).filter((line) => line.startsWith('deny'));

  it('a stored template is not refused for a placeholder', async () => {
    expect(await denials(stored('<how long>') + running('{name: keep, value: 12h}'))).toEqual([]);
  });

  it.each([
    ['the value that it gives', stored('<how long>') + running('{name: keep, value: 1d}')],
    ['the default that it leaves', stored('1d') + running('')],
  ])('whoever runs it is, for %s', async (_, text) => {
    expect(await denials(text)).toEqual(['deny spec.workflowTemplateRef max-age-invalid']);
  });

  const called = (call: string, more = '') => `apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: w-}
spec:
  entrypoint: main
${more}  templates:
    - name: main
${call}
    - name: work
      inputs: {parameters: [{name: keep, default: "<set me>"}]}
      outputs: {parameters: [{name: out, valueFrom: {path: /out}}]}
      container: {image: busybox}
      memoize: {key: "{{inputs.parameters.keep}}", maxAge: "{{inputs.parameters.keep}}", cache: {configMap: {name: c}}}
`;
  const passes = (value: string) => `arguments: {parameters: [{name: keep, value: "${value}"}]}`;
  const ways: readonly (readonly [string, (value: string) => string])[] = [
    ['a step', (value) => called(`      steps: [[{name: s, template: work, ${passes(value)}}]]`)],
    ['a task', (value) => called(`      dag: {tasks: [{name: s, template: work, ${passes(value)}}]}`)],
    [
      'a hook of a step',
      (value) =>
        called(`      steps: [[{name: s, template: other, hooks: {exit: {template: work, ${passes(value)}}}}]]`),
    ],
    [
      'a hook of the workflow',
      (value) => called('      container: {image: busybox}', `  hooks: {exit: {template: work, ${passes(value)}}}\n`),
    ],
    [
      'the end of the workflow',
      (value) => called('      container: {image: busybox}', `  onExit: work\n  ${passes(value)}\n`),
    ],
    [
      'an argument of the workflow',
      (value) =>
        called(
          `      steps: [[{name: s, template: work, ${passes('{{workflow.parameters.k}}')}}]]`,
          `  arguments: {parameters: [{name: k, value: "${value}"}]}\n`,
        ),
    ],
    [
      'an argument within an argument',
      (value) =>
        called(
          `      steps: [[{name: s, template: work, ${passes('{{workflow.parameters.k}}')}}]]`,
          `  arguments: {parameters: [{name: k, value: "{{workflow.parameters.count}}${value.slice(-1)}"}, {name: count, value: "${value.slice(0, -1)}"}]}\n`,
        ),
    ],
    [
      'a tag within a tag',
      (value) =>
        called(
          `      steps: [[{name: s, template: work, ${passes('{{workflow.parameters.{{workflow.parameters.which}}}}')}}]]`,
          `  arguments: {parameters: [{name: which, value: k}, {name: k, value: "${value}"}]}\n`,
        ),
    ],
    [
      'a tag within a tag of a template that calls on',
      (value) =>
        called(
          `      steps: [[{name: s, template: inner, arguments: {parameters: [{name: k, value: "${value}"}]}}]]
    - name: inner
      inputs: {parameters: [{name: k}]}
      steps: [[{name: s, template: work, ${passes('{{inputs.parameters.{{workflow.parameters.which}}}}')}}]]`,
          '  arguments: {parameters: [{name: which, value: k}]}\n',
        ),
    ],
  ];
  it.each(ways)('what %s passes', async (_, text) => {
    expect(await denials(text('1h'))).toEqual([]);
    const at =
      text('')
        .split('- name: ')
        .findIndex((part) => part.startsWith('work')) - 1;
    expect(await denials(text('1d'))).toEqual([`deny spec.templates[${at}].memoize.maxAge max-age-invalid`]);
  });

  it('no tag that Argo fills in once too seldom to reach its end', async () => {
    const tag = '{{workflow.parameters.a}}';
    const chain = ['a', 'b', 'c', 'd', 'e', 'f'].map(
      (name, at, all) => `{name: ${name}, value: "${at === 5 ? '1d' : `{{workflow.parameters.${all[at + 1]}}}`}"}`,
    );
    const text = called(
      `      steps: [[{name: s, template: work, ${passes(tag)}}]]`,
      `  arguments: {parameters: [${chain.join(', ')}]}\n`,
    );
    // Caller's template twice, the step, the callee's first pass: `{{workflow.parameters.e}}` is what is looked up.
    expect(await denials(text)).toEqual([]);
  });

  it.each([
    ['its own value before its default', '{name: keep, value: 1h, default: 1d}', []],
    ['its default', '{name: keep, default: 1d}', ['deny']],
  ])('of an input that nobody passes, %s', async (_, input, expected) => {
    const text = called('      steps: [[{name: s, template: work}]]').replace(
      '{name: keep, default: "<set me>"}',
      input,
    );
    expect((await denials(text)).map((line) => line.split(' ')[0])).toEqual(expected);
  });

  it('what a step passes to a template of another object', async () => {
    const common = stored('1h')
      .replaceAll('{{workflow.parameters.keep}}', '{{inputs.parameters.x}}')
      .replace('value: "1"', 'default: "<x>"');
    const run = (value: string) => `${common}---
${called(`      steps: [[{name: s, templateRef: {name: report, template: main}, arguments: {parameters: [{name: x, value: "${value}"}]}}]]`)}`;
    expect(await denials(run('1h'))).toEqual([]);
    expect(await denials(run('1d'))).toEqual(['deny spec.templates[0].steps[0][0].templateRef max-age-invalid']);
  });

  it.each([
    ['{{ =sprig.trim(inputs.parameters.x)}}', 'begins with "{{="'],
    ['{{=inputs.parameters.my-name}}', "write ['my-name'] instead of .my-name"],
    ['{{=inputs.parameters["my-name"]}}', 'nothing found'],
    ['{{=inputs.parameters.x}}', 'nothing found'],
  ])('the tag %s', async (key, shown) => {
    expect(
      (await lint(file('tag.yaml', template(`{key: '${key}', maxAge: 1h, cache: {configMap: {name: c}}}`)))).out,
    ).toContain(shown);
  });

  it.each([
    ['Y', []],
    ['m', []],
    ['d', []],
    ['H', ['warn spec.templates[0].memoize.key key-unique-per-run']],
    ['S', ['warn spec.templates[0].memoize.key key-unique-per-run']],
    ['s', ['warn spec.templates[0].memoize.key key-unique-per-run']],
    ['RFC3339', ['warn spec.templates[0].memoize.key key-unique-per-run']],
  ])('the part %s of the time of creation', async (part, expected) => {
    const key = `{{inputs.parameters.x}}{{workflow.creationTimestamp.${part}}}`;
    expect(
      rules(await lint(file('date.yaml', template(`{key: "${key}", maxAge: 1h, cache: {configMap: {name: c}}}`)))),
    ).toEqual(expected);
  });
});
