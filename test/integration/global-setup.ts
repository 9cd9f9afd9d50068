import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { stringify } from 'yaml';
import { argoModule } from '../support/argo-module.ts';
import { connect, type TestKube } from './test-kube.ts';

/*
 * One etcd and one kube-apiserver for all integration tests, brought up by the project's own cluster/ scripts, with
 * Argo's full CRDs and roles and with manifests/ applied as shipped. It lives beside a full cluster and beside other
 * test runs: each run takes the first free of a few slots, a slot being a state folder and an offset of ports.
 *
 *   STEPMEMO_TEST_SLOT=2   take this slot (0 to 3), and wait for it if another run has it
 *
 * Slot N keeps its state in <temporary folder>/stepmemo-test-N and adds 12000 + 500 * N to every port (API server:
 * 18443, 18943 ...). What killed runs left in any slot that nobody holds is removed first.
 */
export interface ClusterInfo {
  /** Kubeconfig of the cluster's admin: for arranging and looking, never for the server. */
  readonly adminKubeconfig: string;
  /** Kubeconfig with a token of ServiceAccount stepmemo/stepmemo: what the server runs with. */
  readonly serverKubeconfig: string;
  readonly kubectl: string;
  /** Of the API server: 34 for 1.34. */
  readonly minorVersion: number;
  /** Address of this host that the API server takes in an EndpointSlice (it refuses loopback). */
  readonly hostAddress: string;
  /** A folder for the tests' own files; removed at the end. */
  readonly scratch: string;
  /** Argo's manifests, of the version whose CRDs are installed. */
  readonly argoManifests: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    cluster: ClusterInfo;
  }
}

const ROOT = new URL('../..', import.meta.url).pathname;
const SLOTS = 4;
const SLOT_PAUSE_MS = 1_000;
const HOST_ADDRESS = '10.88.0.1';
const ARGO_VERSION = '4.0.5';
const run = promisify(execFile);

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { cluster, tearDown } = await bringUp();
  project.provide('cluster', cluster);
  return tearDown;
}

export interface BroughtUp {
  readonly cluster: ClusterInfo;
  readonly tearDown: () => Promise<void>;
}

/** An API server with Argo's CRDs and stepmemo's manifests, in the next free slot: for all tests, or for what is done to the whole of it. */
export async function bringUp(): Promise<BroughtUp> {
  const slot = await takeSlot();
  const tearDown = async () => {
    await clusterScript(slot.number, 'down.sh');
    slot.release();
  };
  try {
    await clusterScript(slot.number, 'up.sh', '--control-plane');
    return { cluster: await install(slot.number), tearDown };
  } catch (error) {
    await tearDown();
    throw error;
  }
}

// ---- slots

interface Slot {
  readonly number: number;
  release(): void;
}

async function takeSlot(): Promise<Slot> {
  const wanted = process.env.STEPMEMO_TEST_SLOT;
  if (wanted !== undefined && wanted !== '') return takeWantedSlot(Number(wanted));
  for (let tries = 0; ; tries++) {
    const slot = await takeFreeSlot();
    if (slot !== undefined) return slot;
    if (tries === 0) say('every slot is taken by another run: waiting');
    await sleep(SLOT_PAUSE_MS);
  }
}

/** The first slot that nobody holds. What is left in the others that nobody holds is removed on the way. */
async function takeFreeSlot(): Promise<Slot | undefined> {
  let mine: Slot | undefined;
  for (let number = 0; number < SLOTS; number++) {
    const slot = await lockSlot(number, ['-n']);
    if (slot === undefined) continue;
    if (existsSync(runFolder(number))) await clusterScript(number, 'down.sh');
    if (mine === undefined) mine = slot;
    else slot.release();
  }
  return mine;
}

async function takeWantedSlot(number: number): Promise<Slot> {
  if (!Number.isInteger(number) || number < 0 || number >= SLOTS) {
    throw new Error(`STEPMEMO_TEST_SLOT: expected 0 to ${SLOTS - 1}`);
  }
  say(`waiting for slot ${number}`);
  const slot = await lockSlot(number, []);
  if (slot === undefined) throw new Error(`slot ${number} cannot be locked`);
  if (existsSync(runFolder(number))) await clusterScript(number, 'down.sh');
  return slot;
}

/** The lock is held by a child that ends with our end of its pipe, so that it goes with us however we end. */
async function lockSlot(number: number, options: readonly string[]): Promise<Slot | undefined> {
  const file = join(tmpdir(), `stepmemo-test-${number}.lock`);
  const child = spawn('flock', [...options, file, 'sh', '-c', 'echo locked; exec cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const isLocked = await Promise.race([
    once(child.stdout, 'data').then(() => true),
    once(child, 'exit').then(() => false),
  ]);
  if (!isLocked) return undefined;
  unreference(child);
  return { number, release: () => child.stdin.end() };
}

/** Lets this process end while the child lives. */
function unreference(child: ChildProcess): void {
  child.unref();
  for (const stream of [child.stdin, child.stdout]) (stream as unknown as { unref?(): void } | null)?.unref?.();
}

const runFolder = (slot: number): string => join(tmpdir(), `stepmemo-test-${slot}`);

/** Far from what a cluster of one's own uses, below the ports that the kernel hands out. */
const portOffset = (slot: number): number => 12_000 + 500 * slot;

async function clusterScript(slot: number, script: string, ...args: readonly string[]): Promise<void> {
  const child = spawn(join(ROOT, 'cluster', script), args, {
    env: { ...process.env, STEPMEMO_RUN: runFolder(slot), STEPMEMO_PORT_OFFSET: String(portOffset(slot)) },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`cluster/${script} ${args.join(' ')} ended with ${code}`);
}

const say = (text: string): void => void process.stdout.write(`[integration] ${text}\n`);

// ---- what is installed

async function install(slot: number): Promise<ClusterInfo> {
  const folder = runFolder(slot);
  const adminKubeconfig = join(folder, 'kubeconfig');
  const kubectl = join(folder, 'bin', 'kubectl');
  const scratch = await mkdtemp(join(folder, 'scratch-'));
  const apply = async (...args: readonly string[]) => {
    await run(kubectl, ['--kubeconfig', adminKubeconfig, 'apply', '--server-side', '--force-conflicts', ...args]);
  };
  const admin = await connect(adminKubeconfig);
  const argoManifests = join(await argoModule(ARGO_VERSION), 'manifests');
  await installArgo(apply, argoManifests, scratch);
  say('applying manifests/');
  await apply('-k', join(ROOT, 'manifests'));
  for (const service of ['stepmemo', 'stepmemo-leader', 'stepmemo-followers']) {
    const slices = '/apis/discovery.k8s.io/v1/namespaces/stepmemo/endpointslices';
    await admin.require('POST', slices, endpointSlice(service));
    // API servers before 1.33 look there for the Service of a webhook.
    const endpoints = { apiVersion: 'v1', kind: 'Endpoints', metadata: { name: service } };
    await admin.require('POST', '/api/v1/namespaces/stepmemo/endpoints', endpoints);
  }
  const serverKubeconfig = join(scratch, 'server.kubeconfig');
  await writeServerKubeconfig(admin, serverKubeconfig);
  await waitForPolicies(admin);
  const { minor } = (await admin.require('GET', '/version')) as unknown as { minor: string };
  const minorVersion = Number.parseInt(minor, 10);
  return {
    adminKubeconfig,
    serverKubeconfig,
    kubectl,
    minorVersion,
    hostAddress: HOST_ADDRESS,
    scratch,
    argoManifests,
  };
}

/** CRDs with full schemas, and the controller's account with the roles of Argo's cluster install: no right more. */
async function installArgo(
  apply: (...args: readonly string[]) => Promise<void>,
  manifests: string,
  scratch: string,
): Promise<void> {
  say(`installing the CRDs and roles of Argo Workflows ${ARGO_VERSION}`);
  const crds = join(manifests, 'base', 'crds', 'full');
  const files = (await readdir(crds)).filter((file) => file.startsWith('argoproj.io_'));
  await apply(...files.flatMap((file) => ['-f', join(crds, file)]));
  await apply('-k', await argoKustomization(manifests, scratch));
}

/** Argo's workflow-controller (its Deployment makes no pod here, but says the version) and its roles, in namespace argo. */
async function argoKustomization(manifests: string, scratch: string): Promise<string> {
  const folder = join(scratch, 'argo');
  await mkdir(folder);
  await writeFile(
    join(folder, 'namespace.yaml'),
    stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'argo' } }),
  );
  const parts = ['base/workflow-controller', 'cluster-install-no-crds/workflow-controller-rbac'];
  const kustomization = {
    namespace: 'argo',
    // Argo's own tags name the release channel, not the version.
    images: [{ name: 'quay.io/argoproj/workflow-controller', newTag: `v${ARGO_VERSION}` }],
    resources: ['namespace.yaml', ...parts.map((part) => relative(folder, join(manifests, part)))],
  };
  await writeFile(join(folder, 'kustomization.yaml'), stringify(kustomization));
  return folder;
}

/** Stands for the pods of the Deployment, of which there are none here. Its ports are set by startServer. */
function endpointSlice(service: string): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service}-host`,
      namespace: 'stepmemo',
      labels: { 'kubernetes.io/service-name': service, 'endpointslice.kubernetes.io/managed-by': 'stepmemo-tests' },
    },
    addressType: 'IPv4',
    endpoints: [],
    ports: [],
  };
}

async function writeServerKubeconfig(admin: TestKube, file: string): Promise<void> {
  const { token } = await admin.tokenOf('stepmemo', 'stepmemo');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'test',
        cluster: { server: admin.server, 'certificate-authority-data': Buffer.from(admin.ca).toString('base64') },
      },
    ],
    users: [{ name: 'stepmemo', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'stepmemo', namespace: 'stepmemo' } }],
    'current-context': 'test',
  };
  await rm(file, { force: true });
  await writeFile(file, stringify(config), { mode: 0o600 });
}

/** Policies are enforced only some moments after they were stored: tries one that has to refuse, as a dry run. */
async function waitForPolicies(admin: TestKube): Promise<void> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'probe', namespace: 'default' },
    spec: { containers: [{ name: 'main', image: 'none' }], schedulingGates: [{ name: 'stepmemo.io/hit' }] },
  };
  const end = Date.now() + 30_000;
  for (;;) {
    const answer = await admin.request('POST', '/api/v1/namespaces/default/pods?dryRun=All', pod);
    if (answer.status === 403 || answer.status === 422) return;
    if (Date.now() > end) throw new Error(`the admission policies are not enforced: ${JSON.stringify(answer.body)}`);
    await sleep(100);
  }
}
