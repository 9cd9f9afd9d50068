import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request as startRequest } from 'node:https';
import { connect } from 'node:tls';
import { judgePod } from '../../src/step/decide-pod.ts';
import { SETTINGS } from '../unit/step/builders.ts';
import type { CpuTime, InsideTime } from './admission-server.ts';
import { CREATOR, createView, podFor, reviewFor } from './pod-reviews.ts';

const WARM_UP_ROUNDS = 500;
const ROUNDS = 2_000;

/** Milliseconds, one sample a request. */
export interface AdmissionTimes {
  readonly inside: { readonly hit: number[]; readonly miss: number[]; readonly baseline: number[] };
  /** As the client sees it, over a kept connection. */
  readonly roundTrip: { readonly hit: number[]; readonly miss: number[]; readonly baseline: number[] };
  readonly bodyBytes: number;
}

const KINDS = ['hit', 'miss', 'baseline'] as const;
type Kind = (typeof KINDS)[number];

/** One request after the other, the three kinds in turn, so that the machine's moods meet all of them alike. */
export function measureAdmission(): Promise<AdmissionTimes> {
  return withServer(1, async ({ child, port, agent, bodies }) => {
    const times: AdmissionTimes = {
      inside: { hit: [], miss: [], baseline: [] },
      roundTrip: { hit: [], miss: [], baseline: [] },
      bodyBytes: Buffer.byteLength(bodies.miss),
    };
    for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
      for (const kind of KINDS) {
        const { insideMs, roundTripMs } = await ask({ child, agent, port, kind, body: bodies[kind] });
        if (round < 0) continue;
        times.inside[kind].push(insideMs);
        times.roundTrip[kind].push(roundTripMs);
      }
    }
    return times;
  });
}

interface RunningServer {
  readonly child: ChildProcess;
  readonly port: number;
  readonly agent: Agent;
  readonly bodies: Readonly<Record<Kind, string>>;
}

/** The server in a process of its own, for as long as `work` takes. */
async function withServer<T>(maxSockets: number, work: (server: RunningServer) => Promise<T>): Promise<T> {
  const bodies = { hit: reviewFor('hit'), miss: reviewFor('miss'), baseline: reviewFor('miss') };
  const child = fork(new URL('admission-server.ts', import.meta.url), { stdio: 'inherit' });
  try {
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    // Its certificate is made for this run; who answers is not in question.
    const agent = new Agent({ keepAlive: true, maxSockets, rejectUnauthorized: false });
    const result = await work({ child, port, agent, bodies });
    agent.destroy();
    return result;
  } finally {
    child.disconnect();
  }
}

/** CPU milliseconds of the server for one review, one sample a batch of `BATCH`, `AT_ONCE` at a time. */
export type AdmissionLoad = Readonly<Record<Kind, number[]>>;
const BATCH = 300;
export const AT_ONCE = 32;
const BATCHES = 8;

/** Batches of the three kinds in turn. */
export function measureAdmissionLoad(): Promise<AdmissionLoad> {
  return withServer(AT_ONCE, async ({ child, port, agent, bodies }) => {
    const cpuMs = async () => {
      const told = once(child, 'message') as Promise<[CpuTime]>;
      child.send('cpu');
      return (await told)[0].cpuMs;
    };
    const load: AdmissionLoad = { hit: [], miss: [], baseline: [] };
    for (let batch = -2; batch < BATCHES; batch += 1) {
      for (const kind of KINDS) {
        const before = await cpuMs();
        await Promise.all(Array.from({ length: BATCH }, () => post(urlOf(port, kind), agent, bodies[kind])));
        if (batch >= 0) load[kind].push(((await cpuMs()) - before) / BATCH);
      }
    }
    return load;
  });
}

/** Milliseconds of a hit, as the client sees it. */
export interface HandshakeTimes {
  readonly quiet: number[];
  readonly beside: number[];
  /** Handshakes that were made in a second, one sample a batch. */
  readonly rate: number[];
}
/** New TLS connections a second, none of which asks for anything. */
export const HANDSHAKES_A_SECOND = 100;

/** Hits in turn without and beside a stream of connections, as a stranger who reaches the port might make them. */
export function measureBesideHandshakes(): Promise<HandshakeTimes> {
  return withServer(1, async (server) => {
    await hits(server);
    const times: HandshakeTimes = { quiet: [], beside: [], rate: [] };
    for (let batch = 0; batch < BATCHES; batch += 1) {
      times.quiet.push(...(await hits(server)));
      const startedMs = performance.now();
      const handshakes = startHandshakes(server.port);
      times.beside.push(...(await hits(server)));
      times.rate.push((1000 * (await handshakes.stop())) / (performance.now() - startedMs));
    }
    return times;
  });
}

/** A batch of hits, one after the other. */
async function hits({ child, port, agent, bodies }: RunningServer): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < BATCH; round += 1) {
    const { roundTripMs } = await ask({ child, agent, port, kind: 'hit', body: bodies.hit });
    times.push(roundTripMs);
  }
  return times;
}

function startHandshakes(port: number): { stop: () => Promise<number> } {
  let made = 0;
  const open = new Set<Promise<unknown>>();
  const timer = setInterval(() => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      made += 1;
      socket.end();
    });
    const closed = once(socket, 'close').finally(() => open.delete(closed));
    open.add(closed);
  }, 1000 / HANDSHAKES_A_SECOND);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(open);
      return made;
    },
  };
}

const urlOf = (port: number, kind: Kind) =>
  `https://127.0.0.1:${port}${kind === 'baseline' ? '/baseline' : '/mutate/pods'}`;

interface Ask {
  readonly child: ChildProcess;
  readonly agent: Agent;
  readonly port: number;
  readonly kind: Kind;
  readonly body: string;
}

async function ask({ child, agent, port, kind, body }: Ask): Promise<{ insideMs: number; roundTripMs: number }> {
  const told = once(child, 'message') as Promise<[InsideTime]>;
  const startedMs = performance.now();
  const answer = await post(urlOf(port, kind), agent, body);
  const roundTripMs = performance.now() - startedMs;
  const [{ insideMs }] = await told;
  const { response } = JSON.parse(answer) as { response: { auditAnnotations?: { decision?: string } } };
  if (kind !== 'baseline' && response.auditAnnotations?.decision !== kind) {
    throw new Error(`expected a ${kind}: ${answer}`);
  }
  return { insideMs, roundTripMs };
}

function post(url: string, agent: Agent, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const request = startRequest(url, { method: 'POST', agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve(Buffer.concat(chunks).toString()));
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** The decision alone, in this process, and reading the text of the same review, in turn. Milliseconds. */
export function measureDecision(): { readonly hit: number[]; readonly miss: number[]; readonly parse: number[] } {
  const cluster = createView();
  const text = reviewFor('miss');
  const judge = (outcome: 'hit' | 'miss') => {
    // A fresh object each time, as from the body parser.
    const pod = structuredClone(podFor(outcome));
    return () => judgePod({ pod, creator: CREATOR, cluster, settings: SETTINGS, now: new Date() });
  };
  const times = { hit: [] as number[], miss: [] as number[], parse: [] as number[] };
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
    const sample = { hit: timeOf(judge('hit')), miss: timeOf(judge('miss')), parse: timeOf(() => JSON.parse(text)) };
    if (round < 0) continue;
    for (const kind of ['hit', 'miss', 'parse'] as const) times[kind].push(sample[kind]);
  }
  return times;
}

function timeOf(work: () => unknown): number {
  const startedMs = performance.now();
  work();
  return performance.now() - startedMs;
}
