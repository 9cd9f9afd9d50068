import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { RESOURCES } from '../../../src/kube/types.ts';
import { isSameBundle, parseCertificates, type Tools, verifyChain } from '../../../src/tls/authority.ts';
import type { CertificateSource } from '../../../src/tls/rounds.ts';
import { namesOf } from '../../../src/tls/self-source.ts';
import { createCertificateSource } from '../../../src/tls/source.ts';
import { SYSTEM_TOOLS } from '../../../src/tls/tools.ts';
import { fail, type MemoryKube } from '../kube/memory-kube.ts';
import {
  bundlesIn,
  Clock,
  configOf,
  DAY_MS,
  HOUR_MS,
  kubeWithWebhooks,
  MONTH_MS,
  tools as makeTools,
  pathsIn,
  quietLog,
  SERVICE_NAME,
  webhookConfiguration,
} from './support.ts';

const SETTLE_MS = 60_000;
const SECRET = [RESOURCES.secrets, 'stepmemo', 'stepmemo-ca'] as const;

let tools: Tools;
beforeAll(async () => {
  tools = await makeTools();
});

const ended: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0)) await end();
});

/** Lives long enough that everything made at the start of the clock still holds at the real time of the test. */
const CONFIG = configOf({ caValidityHours: (36 * MONTH_MS) / HOUR_MS, leafValidityHours: (30 * MONTH_MS) / HOUR_MS });

function replica(kube: MemoryKube, clock = new Clock()): CertificateSource {
  return createCertificateSource({ config: CONFIG, kube, log: quietLog(), now: clock.now, tools, settleMs: SETTLE_MS });
}
const certificateOf = (source: CertificateSource) => String(source.current().cert ?? '');

describe('the path of look-ahead', () => {
  test('is written with the bundles, alike by each replica, and accepted there', async () => {
    const kube = kubeWithWebhooks();
    const [one, other] = [replica(kube), replica(kube)];
    await one.refresh();
    const [pods, others, workflows, path = '', behind] = pathsIn(kube);
    expect(behind).toBe(path);
    expect([pods, others, workflows]).toEqual(['/', '/', '/']);
    await other.refresh();
    expect(pathsIn(kube)[3]).toBe(path);
    expect([one, other].map((source) => source.isLookAheadPath(path))).toEqual([true, true]);
    expect(one.isLookAheadPath('/look-ahead')).toBe(false);
  });

  test('is written again where somebody has put another there', async () => {
    const kube = kubeWithWebhooks();
    const source = replica(kube);
    await source.refresh();
    const path = pathsIn(kube)[3];
    kube.put(RESOURCES.mutatingWebhookConfigurations, webhookConfiguration());
    await source.refresh();
    expect(pathsIn(kube)[3]).toBe(path);
  });

  test('follows the authority: the old one is taken for ten minutes more', async () => {
    const kube = kubeWithWebhooks();
    const clock = new Clock();
    const source = replica(kube, clock);
    await source.refresh();
    const before = pathsIn(kube)[3] ?? '';
    // The new authority signs once it has settled.
    clock.move(25 * MONTH_MS);
    await source.refresh();
    clock.move(2 * SETTLE_MS);
    await source.refresh();
    const after = pathsIn(kube)[3] ?? '';
    expect(after).not.toBe(before);
    expect([before, after].map((path) => source.isLookAheadPath(path))).toEqual([true, true]);
    clock.move(11 * 60_000);
    await source.refresh();
    expect([before, after].map((path) => source.isLookAheadPath(path))).toEqual([false, true]);
  });
});

describe('the first round', () => {
  test('makes the CA, puts it into the webhooks that are ours, and issues a leaf that verifies', async () => {
    const kube = kubeWithWebhooks();
    const source = replica(kube);
    expect(source.readiness()).toEqual({ isReady: false, reason: 'no certificate has been issued yet' });
    expect(source.current()).toEqual({});
    await source.refresh();
    const [pods, others, workflows] = bundlesIn(kube);
    expect(pods).toBe(source.caBundle());
    expect(workflows).toBe(source.caBundle());
    expect(others).toBe('other');
    expect(verifyChain(certificateOf(source), source.caBundle(), SERVICE_NAME, new Date()).is).toBe(true);
    expect(source.readiness()).toEqual({ isReady: true });
    expect(source.expiresAt()?.getTime()).toBeGreaterThan(Date.now() + 29 * MONTH_MS);
  });
  test('writes nothing a second time', async () => {
    const kube = kubeWithWebhooks();
    const source = replica(kube);
    await source.refresh();
    const before = certificateOf(source);
    kube.calls.length = 0;
    await source.refresh();
    expect(kube.calls.filter(({ verb }) => verb !== 'get')).toEqual([]);
    expect(certificateOf(source)).toBe(before);
  });
  test('several replicas at once end with one CA and a leaf each', async () => {
    const kube = kubeWithWebhooks();
    const replicas = [replica(kube), replica(kube), replica(kube)];
    await Promise.all(replicas.map((source) => source.refresh()));
    await Promise.all(replicas.map((source) => source.refresh()));
    const [bundle = ''] = bundlesIn(kube);
    expect(parseCertificates(bundle)).toHaveLength(1);
    for (const source of replicas) {
      expect(isSameBundle(source.caBundle(), bundle)).toBe(true);
      expect(source.readiness()).toEqual({ isReady: true });
    }
    expect(new Set(replicas.map(certificateOf)).size).toBe(3);
  });
  test('of two replicas that renew the CA at the same time, one takes over what the other wrote', async () => {
    const kube = kubeWithWebhooks();
    const clock = new Clock();
    const [one, other] = [replica(kube, clock), replica(kube, clock)];
    await one.refresh();
    clock.move(25 * MONTH_MS);
    let isRaced = false;
    kube.before = async ({ verb, name }) => {
      if (verb === 'patch' && name === 'stepmemo-ca' && !isRaced) {
        isRaced = true;
        await other.refresh();
      }
      return undefined;
    };
    await one.refresh();
    expect(parseCertificates(one.caBundle())).toHaveLength(2);
    expect(one.caBundle()).toBe(other.caBundle());
  });
  test('the validating configuration is kept too, where there is one', async () => {
    const kube = kubeWithWebhooks();
    kube.put(RESOURCES.validatingWebhookConfigurations, webhookConfiguration());
    await replica(kube).refresh();
    const stored = kube.peek(RESOURCES.validatingWebhookConfigurations, undefined, 'stepmemo');
    expect(JSON.stringify(stored).match(/"caBundle"/g)).toHaveLength(5);
  });
  test('without any configuration the capture endpoint serves all the same', async () => {
    const kube = kubeWithWebhooks();
    kube.drop(RESOURCES.mutatingWebhookConfigurations, undefined, 'stepmemo');
    const source = replica(kube);
    await source.refresh();
    expect(source.readiness()).toEqual({ isReady: true });
  });
});

describe('trouble', () => {
  test('a Secret that may not be read: not ready, with the reason, and no certificate', async () => {
    const kube = kubeWithWebhooks();
    kube.before = ({ name }) => (name === 'stepmemo-ca' ? fail(403, 'Forbidden', 'not allowed') : undefined);
    const source = replica(kube);
    await source.refresh();
    expect(source.readiness()).toEqual({ isReady: false, reason: 'Secret stepmemo/stepmemo-ca: not allowed' });
    kube.before = () => undefined;
    await source.refresh();
    expect(source.readiness()).toEqual({ isReady: true });
  });
  test('a configuration that may not be written: not ready, with the reason', async () => {
    const kube = kubeWithWebhooks();
    kube.before = ({ verb }) => (verb === 'patch' ? fail(403, 'Forbidden', 'not allowed') : undefined);
    const source = replica(kube);
    await source.refresh();
    expect(source.readiness()).toEqual({
      isReady: false,
      reason: 'mutatingwebhookconfigurations stepmemo: not allowed',
    });
  });
  test('an API server that is away later does not make a ready replica unready', async () => {
    const kube = kubeWithWebhooks();
    const source = replica(kube);
    await source.refresh();
    kube.before = () => fail(0, 'Unreachable', 'no answer');
    await source.refresh();
    expect(source.readiness()).toEqual({ isReady: true });
    expect(source.current()).not.toEqual({});
  });
  test('a bundle that somebody wipes is restored', async () => {
    const kube = kubeWithWebhooks();
    const source = replica(kube);
    await source.refresh();
    kube.put(RESOURCES.mutatingWebhookConfigurations, webhookConfiguration());
    expect(bundlesIn(kube)[0]).toBeUndefined();
    await source.refresh();
    expect(bundlesIn(kube)[0]).toBe(source.caBundle());
  });
  test('a configuration whose order changes under our hands is read again', async () => {
    const kube = kubeWithWebhooks();
    let isRaced = false;
    kube.before = ({ verb, name }) => {
      if (verb !== 'patch' || name !== 'stepmemo' || isRaced) return undefined;
      isRaced = true;
      const { webhooks, ...rest } = webhookConfiguration();
      const [pods, others, workflows] = webhooks;
      kube.put(RESOURCES.mutatingWebhookConfigurations, { ...rest, webhooks: [others, pods, workflows] });
      return undefined;
    };
    const source = replica(kube);
    await source.refresh();
    expect(bundlesIn(kube)).toEqual(['other', source.caBundle(), source.caBundle()]);
  });
  test('started, it restores without being asked, and stops', async () => {
    const kube = kubeWithWebhooks();
    const source = replica(kube);
    await source.start();
    kube.put(RESOURCES.mutatingWebhookConfigurations, webhookConfiguration());
    await expect.poll(() => bundlesIn(kube)[0]).toBe(source.caBundle());
    await source.stop();
  });
  test.each([
    ['garbage', 'AAAA'],
    ['another form', Buffer.from('{"a": 1}').toString('base64')],
    ['no list', undefined],
  ])('a Secret that holds %s is written anew', async (_, text) => {
    const kube = kubeWithWebhooks();
    const data = text === undefined ? undefined : { 'authorities.json': text };
    kube.put(RESOURCES.secrets, { metadata: { namespace: 'stepmemo', name: 'stepmemo-ca' }, data });
    const source = replica(kube);
    await source.refresh();
    expect(source.readiness()).toEqual({ isReady: true });
  });
  test('the Secret that was deleted comes back with a new CA, and every replica takes it', async () => {
    const kube = kubeWithWebhooks();
    const replicas = [replica(kube), replica(kube)];
    for (const source of replicas) await source.refresh();
    kube.drop(...SECRET);
    for (const source of [...replicas, ...replicas]) await source.refresh();
    for (const source of replicas) expect(source.readiness()).toEqual({ isReady: true });
  });
});

test('a leaf is for the names of the Services and for the host of the capture URL', () => {
  expect(namesOf(configOf())).toEqual([
    SERVICE_NAME,
    'stepmemo.stepmemo.svc.cluster.local',
    'stepmemo.stepmemo',
    'stepmemo',
    'stepmemo-leader.stepmemo.svc',
    'stepmemo-followers.stepmemo.svc',
  ]);
  expect(namesOf(configOf({ captureUrl: 'https://[fd00::1]:8444' }))).toContain('fd00::1');
  expect(namesOf(configOf({ captureUrl: 'https://capture.example:8444' }))).toContain('capture.example');
});

test('keys are made off the event loop', async () => {
  let turns = 0;
  setImmediate(() => {
    turns += 1;
  });
  await SYSTEM_TOOLS.makeKeyPair();
  // Made on the loop, the key would be there before the loop had turned once.
  expect(turns).toBe(1);
});

describe('rotation under load', () => {
  /** A server as the product has it: its own certificate, taken over by setSecureContext. */
  async function serve(source: CertificateSource): Promise<{ server: Server; port: number }> {
    const server = createServer(source.current(), (_, response) => response.end('ok'));
    source.onChange((options) => server.setSecureContext(options));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ended.push(() => {
      server.close();
      server.closeAllConnections();
    });
    return { server, port: (server.address() as AddressInfo).port };
  }

  /** One new connection that trusts `ca` alone; returns the certificate that the server showed. */
  async function handshake(port: number, ca: string): Promise<string> {
    const socket = connectTls({ port, host: '127.0.0.1', servername: SERVICE_NAME, ca });
    await once(socket, 'secureConnect');
    const print = socket.getPeerX509Certificate()?.fingerprint256 ?? '';
    socket.destroy();
    return print;
  }

  test('no call fails from the first CA to the second, and the first is gone at the end', async () => {
    const kube = kubeWithWebhooks();
    // Behind real time, so that what is made then and what is made at its end are both valid for real clients.
    const clock = new Clock(Date.now() - 24 * MONTH_MS);
    const replicas = [replica(kube, clock), replica(kube, clock)];
    for (const source of replicas) await source.refresh();
    const ports = (await Promise.all(replicas.map(serve))).map(({ port }) => port);

    const seen = new Set<string>();
    const failures: string[] = [];
    let isOver = false;
    let stale = bundlesIn(kube)[0] ?? '';
    // An API server that knows the bundle of now, and one that learns of it only when the clock has moved on.
    const calls = [0, 0];
    const load = [() => bundlesIn(kube)[0] ?? '', () => stale].map(async (trust, index) => {
      while (!isOver) {
        const call = calls[index] ?? 0;
        try {
          seen.add(await handshake(ports[call % ports.length] ?? 0, trust()));
        } catch (error) {
          failures.push(String(error));
        }
        calls[index] = call + 1;
      }
    });
    /** Time passes: every replica has its round, and both kinds of client call each of them between. */
    const pass = async (ms: number) => {
      clock.move(ms);
      for (const source of replicas) {
        stale = bundlesIn(kube)[0] ?? '';
        await source.refresh();
        const before = [...calls];
        await expect
          .poll(() => calls.every((count, index) => count >= (before[index] ?? 0) + 4), {
            timeout: 10_000,
            interval: 5,
          })
          .toBe(true);
      }
    };
    const countCAs = () => parseCertificates(bundlesIn(kube)[0] ?? '').length;

    await pass(20 * MONTH_MS); // a new leaf of the first CA
    expect(seen.size).toBeGreaterThanOrEqual(3);
    expect(countCAs()).toBe(1);
    await pass(4 * MONTH_MS); // the second CA joins
    expect(countCAs()).toBe(2);
    const before = replicas.map(certificateOf);
    await pass(SETTLE_MS / 2); // it settles, and does not sign yet
    expect(replicas.map(certificateOf)).toEqual(before);
    await pass(SETTLE_MS); // it signs
    const second = parseCertificates(bundlesIn(kube)[0] ?? '')[1]?.toString() ?? '';
    for (const source of replicas) {
      expect(verifyChain(certificateOf(source), second, SERVICE_NAME, clock.now()).is).toBe(true);
      expect(source.readiness()).toEqual({ isReady: true });
    }
    isOver = true;
    await Promise.all(load);
    expect(failures).toEqual([]);

    // Past real time now, so without clients: when no leaf of the first can be left, it is pruned.
    clock.move(30 * MONTH_MS + DAY_MS);
    await replicas[0]?.refresh();
    expect(bundlesIn(kube)[0]).not.toContain(parseCertificates(stale)[0]?.toString().trim());
  });

  test('a leaf of the new CA is not shown while a webhook lacks that CA', async () => {
    const kube = kubeWithWebhooks();
    const clock = new Clock();
    const source = replica(kube, clock);
    await source.refresh();
    // The configuration can no longer be written, say because its right was taken away.
    kube.before = ({ verb, name }) =>
      verb === 'patch' && name === 'stepmemo' ? fail(403, 'Forbidden', 'not allowed') : undefined;
    clock.move(25 * MONTH_MS);
    await source.refresh();
    const first = certificateOf(source);
    clock.move(2 * SETTLE_MS);
    await source.refresh();
    expect(parseCertificates(source.caBundle())).toHaveLength(2);
    expect(certificateOf(source)).toBe(first);
    expect(source.readiness()).toEqual({ isReady: true });
    kube.before = () => undefined;
    await source.refresh();
    expect(certificateOf(source)).not.toBe(first);
    expect(source.readiness()).toEqual({ isReady: true });
  });
});
