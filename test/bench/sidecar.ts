import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createAuthority } from '../unit/sidecar/certificates.ts';
import { buildSidecar, Layout, startEndpoint, startSidecar } from '../unit/sidecar/harness.ts';
import { type ProcessUse, readUse } from './sidecar-processes.ts';

const ROUNDS = 10;

export interface SidecarTimes {
  /** From the exit code's appearance to the process's end, milliseconds. */
  readonly endMs: number[];
  /** A Node that does nothing, from its start to its end, milliseconds. */
  readonly bareNodeMs: number[];
  /** While it waits, and while it posts. Undefined where there is no /proc. */
  readonly atRest: (ProcessUse | undefined)[];
  readonly atEnd: (ProcessUse | undefined)[];
}

/** The bundled program with the flags that it has in a pod, against a real endpoint; a bare Node after each one. */
export async function measureSidecar(): Promise<SidecarTimes> {
  const authority = createAuthority('bench');
  const bundle = await buildSidecar();
  let pid = 0;
  const times: SidecarTimes = { endMs: [], bareNodeMs: [], atRest: [], atEnd: [] };
  const endpoint = await startEndpoint(authority.issue(['127.0.0.1']), (response) => {
    times.atEnd.push(readUse(pid));
    response.end('{"message":"taken"}');
  });
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const layout = new Layout().declares('/tmp/out');
      layout.output('tmp/out', 'hello');
      const sidecar = startSidecar({ program: bundle.path, layout, url: endpoint.url, ca: authority.cert });
      await sidecar.waits();
      await sidecar.looksAgain();
      pid = sidecar.pid;
      times.atRest.push(readUse(pid));
      const startedMs = performance.now();
      layout.exit(0);
      const { log } = await sidecar.ended;
      times.endMs.push(performance.now() - startedMs);
      layout.remove();
      if (log.outcome !== 'posted') throw new Error(`the sidecar posted nothing: ${JSON.stringify(log)}`);
      times.bareNodeMs.push(await timeBareNode());
    }
  } finally {
    endpoint.close();
    bundle.remove();
  }
  return times;
}

async function timeBareNode(): Promise<number> {
  const startedMs = performance.now();
  await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'exit');
  return performance.now() - startedMs;
}
