import { readdirSync, readFileSync } from 'node:fs';

/** What one process takes at one moment. */
export interface ProcessUse {
  readonly rssBytes: number;
  /** The part of it that is no file: the rest is mostly Node's own program, which all Nodes of a machine share. */
  readonly anonBytes: number;
  /** Its share of pages that others map too: what it costs the node. */
  readonly pssBytes: number;
  /** All the CPU that it has used so far. */
  readonly cpuMs: number;
}

const MS_PER_TICK = 10;

/** What a process takes; undefined when it has gone, or belongs to somebody else. */
export function readUse(pid: number): ProcessUse | undefined {
  try {
    const kib = (file: string, field: string): number =>
      Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/${file}`, 'utf8'))?.[1]);
    // The name of the program, in brackets, may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return {
      rssBytes: kib('status', 'VmRSS') * 1024,
      anonBytes: kib('status', 'RssAnon') * 1024,
      pssBytes: kib('smaps_rollup', 'Pss') * 1024,
      cpuMs: (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK,
    };
  } catch {
    return undefined;
  }
}

/** The processes of sidecars that run on this machine in a pod: Node's alone, without the small one in front. */
export function findSidecars(): readonly number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter(isSidecar);
}

function isSidecar(pid: number): boolean {
  try {
    const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    const isCapture = program.endsWith('/node') && args.some((argument) => argument.endsWith('capture.mjs'));
    return isCapture && readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes('kubepods');
  } catch {
    return false;
  }
}
