import type { JsonObject } from '../../../src/base/json.ts';
import type { PolicyContext } from '../../../src/policy/context.ts';
import { findFindings } from '../../../src/policy/find-findings.ts';
import type { Finding } from '../../../src/policy/finding.ts';
import { DEFAULT_POLICY } from '../../../src/policy/settings.ts';

export const MEMOIZE = {
  key: '{{inputs.parameters.x}}',
  maxAge: '1h',
  cache: { configMap: { name: 'my-cache' } },
} as const;

/** A container template that the policy has nothing to say about. */
export const STEP = {
  name: 'step',
  inputs: { parameters: [{ name: 'x' }] },
  outputs: { parameters: [{ name: 'y', valueFrom: { path: '/y' } }] },
  container: { image: 'busybox' },
  memoize: MEMOIZE,
} as const;

export function context(changes: Partial<PolicyContext> = {}): PolicyContext {
  return {
    mode: 'managed',
    namespace: 'team-a',
    controllerNamespace: 'argo',
    argoVersion: { major: 4, minor: 0, patch: 5 },
    settings: DEFAULT_POLICY,
    lookUpTemplate: () => undefined,
    areTemplatesStored: false,
    cacheLabel: () => 'unknown',
    ...changes,
  };
}

export function workflow(spec: JsonObject, more: JsonObject = {}): JsonObject {
  const metadata = { name: 'wf', namespace: 'team-a' };
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata,
    spec: { entrypoint: 'main', ...spec },
    ...more,
  };
}

/** Findings as `severity rule path`, for tables. */
export function brief(findings: readonly Finding[]): string[] {
  return findings.map(({ severity, rule, path }) => `${severity} ${rule} ${path}`);
}

export function findBrief(object: JsonObject, changes: Partial<PolicyContext> = {}): string[] {
  return brief(findFindings(object, context(changes)));
}
