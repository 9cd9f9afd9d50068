import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { configSchema } from '../../../src/config/config.ts';
import { envName, flagName, loadConfig } from '../../../src/config/load-config.ts';

const directory = mkdtempSync(join(tmpdir(), 'stepmemo-config-'));
afterAll(() => rmSync(directory, { recursive: true }));

let files = 0;
function configFile(text: string): string {
  const file = join(directory, `${files++}-config.yaml`);
  writeFileSync(file, text);
  return file;
}

function errorsOf(sources: Parameters<typeof loadConfig>[0]): string[] {
  const loaded = loadConfig(sources);
  return loaded.ok ? [] : loaded.errors;
}

describe('loadConfig', () => {
  it('starts from defaults alone', () => {
    expect(loadConfig({})).toMatchObject({ ok: true, config: { logLevel: 'info', webhookPort: 8443 } });
  });

  it('lets flags beat the environment, and the environment the file', () => {
    const file = configFile('logLevel: debug\nwebhookPort: 1\ncapturePort: 1\n');
    const loaded = loadConfig({
      file,
      env: { STEPMEMO_WEBHOOK_PORT: '2', STEPMEMO_CAPTURE_PORT: '2' },
      flags: { capturePort: '3' },
    });
    expect(loaded).toMatchObject({ ok: true, config: { logLevel: 'debug', webhookPort: 2, capturePort: 3 } });
  });

  it('reads lists, numbers and booleans from text', () => {
    const env = {
      STEPMEMO_CONTROLLER_ACCOUNTS: 'system:serviceaccount:a:b, system:serviceaccount:c:d',
      STEPMEMO_LEADER_ELECTION: 'false',
      STEPMEMO_CA_VALIDITY_HOURS: '1.5',
    };
    expect(loadConfig({ env })).toMatchObject({
      ok: true,
      config: {
        controllerAccounts: ['system:serviceaccount:a:b', 'system:serviceaccount:c:d'],
        leaderElection: false,
        caValidityHours: 1.5,
      },
    });
  });

  it.each([
    ['an unknown variable', { env: { STEPMEMO_LOG_LEVLE: 'info' } }, /^STEPMEMO_LOG_LEVLE: no such setting$/],
    ['an unknown flag', { flags: { nonsense: '1' } }, /^--nonsense: no such setting$/],
    ['a wrong choice', { env: { STEPMEMO_LOG_LEVEL: 'loud' } }, /^STEPMEMO_LOG_LEVEL: /],
    ['text for a number', { flags: { webhookPort: 'x' } }, /^--webhook-port: /],
    ['an empty number', { flags: { webhookPort: '' } }, /^--webhook-port: /],
    ['text for a boolean', { env: { STEPMEMO_LEADER_ELECTION: 'yes' } }, /^STEPMEMO_LEADER_ELECTION: /],
    [
      'no account at all',
      { env: { STEPMEMO_CONTROLLER_ACCOUNTS: 'argo' } },
      /^STEPMEMO_CONTROLLER_ACCOUNTS\.0: expected system/,
    ],
    ['a missing file', { file: '/nonexistent/stepmemo.yaml' }, /^\/nonexistent\/stepmemo\.yaml: cannot be read/],
  ])('refuses %s, by name and with the reason', (_, sources, expected) => {
    expect(errorsOf(sources)).toEqual([expect.stringMatching(expected)]);
  });

  it('names the field of the file that is wrong, and lists all errors at once', () => {
    const file = configFile('logLevel: loud\nportt: 1\n');
    expect(errorsOf({ file })).toEqual([
      expect.stringMatching(/config\.yaml: logLevel: /),
      expect.stringMatching(/config\.yaml: portt: no such setting$/),
    ]);
  });

  it('passes by the variables that Kubernetes makes for the Service', () => {
    const env = {
      STEPMEMO_SERVICE_HOST: '10.96.0.9',
      STEPMEMO_PORT_443_TCP_ADDR: '10.96.0.9',
      STEPMEMO_PORT: 'tcp://x',
    };
    expect(errorsOf({ env })).toEqual([]);
  });

  it('derives no two settings to one name', () => {
    const fields = Object.keys(configSchema.shape);
    expect(new Set(fields.map(envName)).size).toBe(fields.length);
    expect(new Set(fields.map(flagName)).size).toBe(fields.length);
  });
});
