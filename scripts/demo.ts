// Shows the main job on a cluster that is up and has stepmemo: the example of Argo's own page on memoization is run, served
// and run again once its entry is too old; then a small DAG, whole and with one entry gone. Prints what happened and why; fails when it saw anything else.
//   demo.ts --kubeconfig FILE [--kubectl PROGRAM]
import { execFileSync } from 'node:child_process';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { formatTable } from '../src/cli/cluster/kube-command.ts';

const NAMESPACE = 'stepmemo-demo';
const { values: options } = parseArgs({
  options: { kubeconfig: { type: 'string' }, kubectl: { type: 'string', default: 'kubectl' } },
});
if (options.kubeconfig === undefined) throw new Error('--kubeconfig is missing');

interface Row {
  readonly run: string;
  readonly step: string;
  readonly outcome: string;
  readonly reason: string;
  readonly stepTook: string;
  readonly workflowTook: string;
}

interface DemoObject {
  readonly metadata: { name: string; creationTimestamp: string; annotations?: Record<string, string> };
  readonly spec: { nodeName?: string };
  readonly status?: {
    phase?: string;
    startedAt?: string;
    finishedAt?: string;
    nodes?: Record<string, DemoNode>;
  };
}

interface DemoNode {
  readonly id: string;
  readonly displayName: string;
  readonly type: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly memoizationStatus?: { readonly hit: boolean };
}

type Outcome = 'ran' | 'servedAtSubmission' | 'servedByPod' | 'unclear';

const WORDS: Readonly<Record<Outcome, string>> = {
  ran: 'ran',
  servedAtSubmission: 'served at submission',
  servedByPod: 'served by its pod',
  unclear: 'neither ran nor served',
};

const rows: Row[] = [];
const surprises: string[] = [];

prepare();
demonstrate('first run', 'memoized-whalesay', { ran: 1 });
untilEntries('whalesay-cache', 1);
demonstrate('again', 'memoized-whalesay', { servedAtSubmission: 1 });
untilOld('whalesay-cache', 'hello-world', 10);
demonstrate('after 10 s', 'memoized-whalesay', { ran: 1 });
demonstrate('DAG', 'dag', { ran: 4 });
untilEntries('dag-cache', 4);
demonstrate('DAG again', 'dag', { servedAtSubmission: 4 });
forget('dag-cache', 'left');
demonstrate('DAG, one entry gone', 'dag', { ran: 1, servedAtSubmission: 2, servedByPod: 1 });
report();

/** A namespace of its own, opted in, and empty: an earlier demo must not decide what this one sees. */
function prepare(): void {
  kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=true');
  kubectl('create', 'namespace', NAMESPACE);
  kubectl('label', 'namespace', NAMESPACE, 'stepmemo.io/enabled=true');
  waitFor('the default service account', () => kubectl('get', 'serviceaccount', 'default', '-n', NAMESPACE) !== '');
  waitFor('stepmemo to see the namespace', () => {
    const probe = kubectl('create', '-n', NAMESPACE, '-f', example('dag'), '--dry-run=server', '-o', 'yaml');
    return probe.includes('stepmemo.io/key');
  });
}

/** Runs one example and notes what became of each memoized step. */
function demonstrate(run: string, file: string, expected: Partial<Record<Outcome, number>>): void {
  const name = kubectl('create', '-n', NAMESPACE, '-f', example(file), '-o', 'jsonpath={.metadata.name}');
  console.log(`${run}: submitted ${name}`);
  const workflow = waitFor(`workflow ${name} to end`, () => {
    const object = get<DemoObject>('workflow', name);
    return ['Succeeded', 'Failed', 'Error'].includes(object.status?.phase ?? '') && object;
  });
  if (workflow.status?.phase !== 'Succeeded') surprises.push(`${run}: the workflow is ${workflow.status?.phase}`);
  const pods = get<{ items: DemoObject[] }>('pods', '-l', `workflows.argoproj.io/workflow=${name}`).items;
  const seen: Partial<Record<Outcome, number>> = {};
  for (const node of Object.values(workflow.status?.nodes ?? {}).filter(({ type }) => type === 'Pod')) {
    const outcome = noteStep(run, workflow, node, pods);
    seen[outcome] = (seen[outcome] ?? 0) + 1;
  }
  if (!isDeepStrictEqual(seen, expected))
    surprises.push(`${run}: expected ${JSON.stringify(expected)}, saw ${JSON.stringify(seen)}`);
}

function noteStep(run: string, workflow: DemoObject, node: DemoNode, pods: readonly DemoObject[]): Outcome {
  const pod = pods.find(({ metadata }) => metadata.annotations?.['workflows.argoproj.io/node-id'] === node.id);
  const outcome = outcomeOf(node, pod);
  rows.push({
    run,
    step: node.displayName,
    outcome: WORDS[outcome],
    reason: pod?.metadata.annotations?.['stepmemo.io/reason'] ?? 'served-at-submission',
    stepTook: seconds(node.startedAt, node.finishedAt),
    workflowTook: seconds(workflow.status?.startedAt, workflow.status?.finishedAt),
  });
  return outcome;
}

function outcomeOf({ memoizationStatus }: DemoNode, pod: DemoObject | undefined): Outcome {
  if (pod === undefined) return memoizationStatus?.hit === true ? 'servedAtSubmission' : 'unclear';
  if (pod.spec.nodeName !== undefined) return 'ran';
  return pod.metadata.annotations?.['stepmemo.io/decision'] === 'hit' ? 'servedByPod' : 'unclear';
}

function report(): void {
  console.log('');
  const header = ['RUN', 'STEP', 'OUTCOME', 'REASON', 'STEP (S)', 'WORKFLOW (S)'];
  console.log(
    formatTable(
      header,
      rows.map(({ run, step, outcome, reason, stepTook, workflowTook }) => {
        return [run, step, outcome, reason, stepTook, workflowTook];
      }),
    ),
  );
  console.log('');
  console.log(`The cache entry, as kubectl shows it (kubectl get configmap whalesay-cache -n ${NAMESPACE} -o yaml):\n`);
  console.log(kubectl('get', 'configmap', 'whalesay-cache', '-n', NAMESPACE, '-o', 'yaml'));
  for (const surprise of surprises) console.error(`unexpected: ${surprise}`);
  if (surprises.length > 0) process.exit(1);
}

function seconds(from: string | undefined, to: string | undefined): string {
  const span = (Date.parse(to ?? '') - Date.parse(from ?? '')) / 1000;
  return Number.isNaN(span) ? '?' : String(span);
}

function untilEntries(cache: string, count: number): void {
  waitFor(`${count} entries in ${cache}`, () => Object.keys(cacheData(cache)).length >= count);
}

/** Takes the entries away whose key ends so: as anybody may who can edit the ConfigMap. */
function forget(cache: string, ending: string): void {
  for (const key of Object.keys(cacheData(cache)).filter((name) => name.endsWith(ending)))
    kubectl(
      'patch',
      'configmap',
      cache,
      '-n',
      NAMESPACE,
      '--type=merge',
      '-p',
      JSON.stringify({ data: { [key]: null } }),
    );
}

/** An entry is too old once it is older than maxAge; equal is still fresh. */
function untilOld(cache: string, key: string, maxAgeSeconds: number): void {
  const entry = JSON.parse(cacheData(cache)[key] ?? '{}') as { creationTimestamp?: string };
  const expiryMs = Date.parse(entry.creationTimestamp ?? '') + maxAgeSeconds * 1000;
  console.log(`waiting until the entry is older than ${maxAgeSeconds} s`);
  waitFor('the entry to be too old', () => Date.now() > expiryMs + 1000);
}

function cacheData(cache: string): Record<string, string> {
  const text = kubectl('get', 'configmap', cache, '-n', NAMESPACE, '--ignore-not-found', '-o', 'json');
  return text === '' ? {} : ((JSON.parse(text) as { data?: Record<string, string> }).data ?? {});
}

function example(name: string): string {
  const path = new URL(`../examples/${name}.yaml`, import.meta.url).pathname;
  return path;
}

function get<T>(kind: string, ...args: readonly string[]): T {
  return JSON.parse(kubectl('get', kind, ...args, '-n', NAMESPACE, '-o', 'json')) as T;
}

function kubectl(...args: readonly string[]): string {
  return execFileSync(options.kubectl, ['--kubeconfig', options.kubeconfig ?? '', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 * 1024 * 1024,
  });
}

function waitFor<T>(what: string, condition: () => T | false, limitSeconds = 180): T {
  const end = Date.now() + limitSeconds * 1000;
  for (;;) {
    const value = condition();
    if (value !== false) return value;
    if (Date.now() > end) throw new Error(`waited ${limitSeconds} s in vain for ${what}`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}
