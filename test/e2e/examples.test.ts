import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../src/kube/types.ts';
import { type EndedWorkflow, givenNamespace, memoizedSteps, submit, untilEnded, untilEntries } from './cluster.ts';

/*
 * Every example is run twice, with the image of the local cluster in the place of its own: it succeeds, and the second time its
 * memoized steps are served, but where it asks to run.
 */
const FOLDER = new URL('../../examples/', import.meta.url);
const FILES = readdirSync(FOLDER).filter((file) => file.endsWith('.yaml'));

async function submitExample(namespace: string, file: string): Promise<EndedWorkflow> {
  const text = readFileSync(new URL(file, FOLDER), 'utf8').replaceAll(/image: \S+/g, 'image: busybox:local');
  let name = '';
  for (const document of parseAllDocuments(text)) name = await submit(namespace, document.toJS() as KubeObject);
  return untilEnded(namespace, name);
}

const cacheIn = (file: string) =>
  /configMap: ?(?:\{ name: |\n\s+name: )([\w-]+)|stepmemo.io\/cache: (\S+)/.exec(
    readFileSync(new URL(file, FOLDER), 'utf8'),
  );

it('there are as many as the README promises', () => {
  expect(FILES.length).toBeGreaterThanOrEqual(8);
});

it('runs every example, and serves it the second time', { timeout: 300_000 }, async () => {
  const namespace = await givenNamespace({ lookAhead: 'on' });
  const outcomes = await Promise.all(
    FILES.map(async (file) => {
      const first = await submitExample(namespace, file);
      const cache = cacheIn(file);
      await untilEntries(namespace, cache?.[1] ?? cache?.[2] ?? '', 1);
      const second = await submitExample(namespace, file);
      const served = second.nodes.filter(({ memoizationStatus }) => memoizationStatus?.hit === true).length;
      const hits = (await memoizedSteps(second)).filter(({ decision }) => decision === 'hit').length;
      return { file, phases: [first.phase, second.phase], isServed: served + hits > 0 };
    }),
  );
  // Its entry is valid for ten seconds; the other asks to run.
  const others = ['memoized-whalesay.yaml', 'refresh.yaml'];
  expect(outcomes).toEqual(
    FILES.map((file) => {
      const isServed = others.includes(file) ? expect.any(Boolean) : true;
      return { file, phases: ['Succeeded', 'Succeeded'], isServed };
    }),
  );
});
