import { describe, expect, it } from 'vitest';
import { NODE_ID_ANNOTATION } from '../../src/argo/names.ts';
import { outputsSchema } from '../../src/argo/outputs.ts';
import { identifyStep, type Step } from '../../src/argo/step.ts';
import { parseTemplate, type StepTemplate } from '../../src/argo/template.ts';
import { parseEntry, serializeEntry } from '../../src/cache/entry.ts';
import { rebuildOutputs } from '../../src/cache/served-outputs.ts';
import { type Assembled, assembleEntry } from '../../src/capture/assemble-entry.ts';
import type { KubeObject } from '../../src/kube/types.ts';
import { capturedFrom } from '../../src/sidecar/captured.ts';
import { digestOf } from '../../src/sidecar/digest.ts';
import { memoizeOf, type Recorded, readNativeEntry, readReviews, templateOf } from './recorded.ts';

// From recorded pods and task results stepmemo has to make the very entry that Argo's controller saved.

const NOW = new Date('2026-11-24T18:10:00Z');
const RESULTS = readReviews(/\.result-\d+-(create|update)\.json$/);
const PODS = readReviews(/\.pod-\d+\.json$/);

/** What the executor last wrote for a pod's node: on 3.4 with the first write, later with the second. */
function resultOf({ path, request }: Recorded): KubeObject | undefined {
  const version = path.split('/')[0];
  const nodeId = request.object.metadata?.annotations?.[NODE_ID_ANNOTATION];
  return RESULTS.filter(
    (result) => result.path.startsWith(`${version}/`) && result.request.object.metadata?.name === nodeId,
  )
    .map((result) => result.request.object)
    .at(-1);
}

interface Case {
  readonly recorded: Recorded;
  readonly step: Step;
  readonly template: StepTemplate;
  readonly outputs: ReturnType<typeof outputsSchema.parse>;
}

/** Memoized steps of which both a task result and Argo's own entry were recorded. */
const CASES: readonly (readonly [string, Case])[] = PODS.flatMap((recorded) => {
  const identified = identifyStep(recorded.request.object);
  const template = parseTemplate(JSON.stringify(templateOf(recorded) ?? {}));
  const result = resultOf(recorded);
  if (memoizeOf(recorded) === undefined || !identified.ok || template.state !== 'inline' || result === undefined)
    return [];
  const outputs = outputsSchema.parse(result.outputs ?? {});
  return [[recorded.path, { recorded, step: identified.step, template, outputs }] as const];
});

function assemble({ recorded, step, template, outputs }: Case, more: object): Assembled {
  const pod = recorded.request.object;
  return assembleEntry({ pod, step, template, taskResult: { outputs, isComplete: true }, now: NOW, ...more });
}

describe.each(CASES)('%s', (path, recordedCase) => {
  const { recorded, step, template, outputs } = recordedCase;
  // Its upload to the store failed when this was recorded, and so did the step.
  const isFailed = path.endsWith('/artifact.pod-1.json') || path.endsWith('/failing.pod-1.json');

  it.runIf(!isFailed && readNativeEntry(recorded)?.nodeID === step.nodeId)(
    "gives the entry that Argo's controller saved",
    () => {
      const assembled = assemble(recordedCase, {});
      expect(assembled).toMatchObject({ ok: true });
      if (assembled.ok) expect(assembled.entry.outputs).toEqual(readNativeEntry(recorded)?.outputs);
    },
  );

  it.runIf(!isFailed)(
    'gives the same with the sidecar, by its digest, and after a round trip through the cache',
    () => {
      const alone = assemble(recordedCase, {});
      const captured = capturedFrom(outputs);
      expect(assemble(recordedCase, { captured })).toEqual(alone);
      expect(assemble(recordedCase, { digest: digestOf(captured) })).toEqual(alone);
      if (!alone.ok) throw new Error(alone.message);
      const lookup = parseEntry(serializeEntry(alone.entry));
      expect(lookup).toEqual({ found: 'entry', entry: alone.entry });
      expect(rebuildOutputs(step, template, alone.entry)).toEqual({ ok: true, outputs: alone.entry.outputs });
    },
  );

  it('gives nothing when a value was forged after the sidecar had seen it', () => {
    const forged = outputsSchema.parse({
      ...outputs,
      parameters: (outputs.parameters ?? []).map((parameter) => ({ ...parameter, value: 'forged' })),
      ...(typeof outputs.result === 'string' ? { result: 'forged' } : {}),
    });
    const captured = capturedFrom(outputs);
    if (captured.parameters.length === 0 && captured.result === undefined) return;
    const taskResult = { outputs: forged, isComplete: true };
    expect(assemble(recordedCase, { captured, taskResult })).toMatchObject({ ok: false, reason: 'capture-mismatch' });
    const digest = digestOf(captured);
    expect(assemble(recordedCase, { digest, taskResult })).toMatchObject({ ok: false, reason: 'capture-mismatch' });
  });
});

it('has cases of both versions, offloaded templates among them', () => {
  const paths = CASES.map(([path]) => path);
  expect(paths.filter((path) => path.startsWith('argo-3.4.17/')).length).toBeGreaterThan(25);
  expect(paths.filter((path) => path.startsWith('argo-4.0.5/')).length).toBeGreaterThan(25);
  expect(paths).toContain('argo-4.0.5/large.pod-1.json');
});

it('gives nothing for an artifact whose upload failed', () => {
  const [, failed] = CASES.find(([path]) => path === 'argo-3.4.17/artifact.pod-1.json') ?? [];
  expect(failed && assemble(failed, {})).toMatchObject({ ok: false, reason: 'capture-incomplete' });
});
