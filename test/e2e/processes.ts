import { execFile, spawn } from 'node:child_process';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { runFolder } from './settings.ts';

/*
 * The node of the test cluster is this machine, so a crash can be a real one: a signal to the process, which no
 * API call stands for. Only processes of the cluster's own containers are ever found here.
 */

/** Pids of Node processes in containers whose command line holds all of the words. */
export async function findProcesses(...words: readonly string[]): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: number[] = [];
  for (const pid of pids) {
    const commandLine = await readOrEmpty(`/proc/${pid}/cmdline`);
    const cgroup = await readOrEmpty(`/proc/${pid}/cgroup`);
    if (!cgroup.includes('kubepods') || commandLine.includes('tini')) continue;
    if (words.every((word) => commandLine.includes(word))) found.push(pid);
  }
  return found;
}

/** Servers, of one replica when its pod's UID is given. */
export async function serverProcesses(podUid?: string): Promise<readonly number[]> {
  return ofPod(await findProcesses('stepmemo.mjs', 'server'), podUid);
}

/** Sidecars of step pods, of one pod when its UID is given. */
export async function sidecarProcesses(podUid?: string): Promise<readonly number[]> {
  return ofPod(await findProcesses('capture.mjs'), podUid);
}

async function ofPod(all: readonly number[], podUid: string | undefined): Promise<readonly number[]> {
  if (podUid === undefined) return all;
  const mine: number[] = [];
  for (const pid of all) {
    if ((await readOrEmpty(`/proc/${pid}/cgroup`)).includes(podUid)) mine.push(pid);
  }
  return mine;
}

/** Memory that a process holds, in MiB, and its open files; undefined where it has gone. */
export async function usageOf(pid: number): Promise<{ mib: number; files: number } | undefined> {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readOrEmpty(`/proc/${pid}/status`))?.[1];
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
  return kib === undefined ? undefined : { mib: Number(kib) / 1024, files: files.length };
}

export async function pidOf(daemon: Daemon): Promise<number> {
  return Number(await readFile(`${runFolder}/pids/${daemon}`, 'utf8'));
}

/** Processes of the local cluster itself, as cluster/lib starts them. */
export type Daemon = 'kube-apiserver' | 'containerd';

/** Kills one of the cluster's own processes, and starts it as it was started before. */
export async function restartDaemon(name: Daemon): Promise<void> {
  const pid = await pidOf(name);
  const [commandLine, environment] = await Promise.all([
    readFile(`/proc/${pid}/cmdline`, 'utf8'),
    readFile(`/proc/${pid}/environ`, 'utf8'),
  ]);
  const [command = '', ...args] = commandLine.split('\0').slice(0, -1);
  const env = Object.fromEntries(
    environment.split('\0').flatMap((line) => {
      const at = line.indexOf('=');
      return at === -1 ? [] : [[line.slice(0, at), line.slice(at + 1)]];
    }),
  );
  signal([pid], 'SIGKILL');
  await untilReleased(pid);
  const log = await open(`${runFolder}/log/${name}.log`, 'a');
  const child = spawn(command, args, { env, detached: true, stdio: ['ignore', log.fd, log.fd] });
  child.unref();
  await log.close();
  await writeFile(`${runFolder}/pids/${name}`, `${child.pid}\n`);
}

/** Waits until a process has given back its memory and its ports. The first of its threads may be gone before the others. */
async function untilReleased(pid: number): Promise<void> {
  for (;;) {
    const state = /\) (\w)/.exec(await readOrEmpty(`/proc/${pid}/stat`))?.[1];
    const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
    if (state === undefined || (state === 'Z' && threads.length <= 1)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Cuts a container's pod off the network, at the host's end of its only link. Returns what connects it again, whichever process the
 * container has by then.
 */
export async function cutOff(pid: number): Promise<() => Promise<unknown>> {
  const { stdout } = await promisify(execFile)('nsenter', ['-t', `${pid}`, '-n', 'ip', '-o', 'link', 'show', 'eth0']);
  // `2: eth0@if7: …`: 7 is the index of the other end, here.
  const index = /@if(\d+)/.exec(stdout)?.[1];
  const links = await promisify(execFile)('ip', ['-o', 'link']);
  const name = new RegExp(`^${index}: ([^@:]+)`, 'm').exec(links.stdout)?.[1];
  if (name === undefined) throw new Error(`no link leads to the pod of process ${pid}`);
  const set = (state: 'up' | 'down') => promisify(execFile)('ip', ['link', 'set', name, state]);
  await set('down');
  // The kubelet may have given the pod another one by then.
  return () => set('up').catch(() => undefined);
}

/** Sends a signal; a process that has gone meanwhile is fine. */
export function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return '';
  }
}
