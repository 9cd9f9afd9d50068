import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { configSchema } from '../../src/config/config.ts';
import { judgeMemory } from '../../src/memory-bounds.ts';

const MIB = 1024 * 1024;
const defaults = configSchema.parse({});

it('the limit that is shipped is enough for what the defaults may take', () => {
  const [document] = parseAllDocuments(readFileSync('manifests/base/deployment.yaml', 'utf8'));
  const limit = String(document?.getIn(['spec', 'template', 'spec', 'containers', 0, 'resources', 'limits', 'memory']));
  expect(limit).toMatch(/^\d+Mi$/);
  expect(judgeMemory(defaults, Number.parseInt(limit, 10) * MIB)).toBeUndefined();
});

it('a limit that is too low, and settings that are too high, are told with what to set', () => {
  expect(judgeMemory(defaults, 256 * MIB)).toMatch(/256 MiB may not be enough: idle 110 MiB, .*; set it to \d+ MiB/);
  expect(judgeMemory({ ...defaults, captureTotalLimitBytes: 1024 * MIB }, 768 * MIB)).toContain('heldOutputs 1024 MiB');
});

it('without a limit there is nothing to say', () => {
  expect(judgeMemory(defaults, undefined)).toBeUndefined();
  expect(judgeMemory(defaults, 0)).toBeUndefined();
});
