import { readdir, readFile } from 'node:fs/promises';

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
