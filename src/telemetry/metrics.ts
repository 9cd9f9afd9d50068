import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Reason } from '../base/reasons.ts';
import type { Rule } from '../policy/rules.ts';

/** Names and labels of all metrics; docs/metrics.md is made from what is registered here. */
export interface Metrics {
  readonly registry: Registry;
  /** One admission answer. `seconds` is the time inside the server. */
  admission(answer: { path: string; decision: string; reason: Reason | Rule; seconds: number }): void;
  /** One outcome after admission: completed, released, captured, cache-full and so on. */
  outcome(reason: Reason): void;
  /** From when the leader first saw the gated pod to the patch that ended it, seconds. */
  completion(seconds: number): void;
  captureRequest(status: number): void;
  /** A post of a sidecar whose version is not the server's. */
  foreignSidecar(): void;
  /** Steps of one Workflow that were served as it was submitted. */
  servedAtSubmission(served: { steps: number; isDryRun: boolean }): void;
  /** Steps of one Workflow that were served together with a hit before them, as its controller wrote it. */
  servedAhead(served: { steps: number; isDryRun: boolean }): void;
  /** One Event that was not sent, for there were too many. */
  eventDropped(): void;
  /** One self-check of the leader, and whether the API server called us. */
  selfCheck(isCalled: boolean): void;
  /** How many of the admission policies that warn users of an outage are missing. */
  setMissingOutagePolicies(count: number): void;
  setLeader(isLeader: boolean): void;
  setCertificateExpiry(unixSeconds: number): void;
}

// The hook answers in about a millisecond, and the API server gives up after one second.
const ADMISSION_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];
const COMPLETION_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const decisions = new Counter({
    name: 'stepmemo_admission_decisions_total',
    help: 'Admission answers, by path, decision and reason.',
    labelNames: ['path', 'decision', 'reason'] as const,
    registers,
  });
  const duration = new Histogram({
    name: 'stepmemo_admission_duration_seconds',
    help: 'Time inside the server for one admission answer.',
    labelNames: ['path'] as const,
    buckets: ADMISSION_BUCKETS,
    registers,
  });
  const outcomes = new Counter({
    name: 'stepmemo_outcomes_total',
    help: 'What became of decided pods, by reason.',
    labelNames: ['reason'] as const,
    registers,
  });
  const completions = new Histogram({
    name: 'stepmemo_completion_duration_seconds',
    help: "From when the leader first saw a hit's pod to the patch that ended it.",
    buckets: COMPLETION_BUCKETS,
    registers,
  });
  const captures = new Counter({
    name: 'stepmemo_capture_requests_total',
    help: 'Posts of sidecars, by the status of the answer.',
    labelNames: ['status'] as const,
    registers,
  });
  const foreignSidecars = new Counter({
    name: 'stepmemo_foreign_sidecar_posts_total',
    help: "Posts of sidecars whose image is of another version than the server's.",
    registers,
  });
  const servedSteps = new Counter({
    name: 'stepmemo_served_at_submission_total',
    help: 'Steps that were served when their Workflow was submitted, by whether it was a dry run.',
    labelNames: ['dry_run'] as const,
    registers,
  });
  const servedAhead = new Counter({
    name: 'stepmemo_served_ahead_total',
    help: 'Steps that were served together with a hit before them, without a pod, by whether it was a dry run.',
    labelNames: ['dry_run'] as const,
    registers,
  });
  const dropped = new Counter({
    name: 'stepmemo_events_dropped_total',
    help: 'Events that were not sent, for their namespace or all together had too many.',
    registers,
  });
  const selfChecks = new Counter({
    name: 'stepmemo_self_checks_total',
    help: 'Whether the API server called stepmemo when its leader had it do so: result is called or not-called.',
    labelNames: ['result'] as const,
    registers,
  });
  const missingOutagePolicies = new Gauge({
    name: 'stepmemo_missing_outage_policies',
    help: 'Admission policies that would warn users while stepmemo is away, and are not installed.',
    registers,
  });
  const leader = new Gauge({ name: 'stepmemo_leader', help: '1 on the replica that completes hits.', registers });
  const expiry = new Gauge({
    name: 'stepmemo_certificate_expiry_timestamp_seconds',
    help: "When the certificate of this replica's webhooks ends, Unix time.",
    registers,
  });
  return {
    registry,
    admission({ path, decision, reason, seconds }) {
      decisions.inc({ path, decision, reason });
      duration.observe({ path }, seconds);
    },
    outcome: (reason) => outcomes.inc({ reason }),
    completion: (seconds) => completions.observe(seconds),
    captureRequest: (status) => captures.inc({ status: String(status) }),
    foreignSidecar: () => foreignSidecars.inc(),
    servedAtSubmission: ({ steps, isDryRun }) => servedSteps.inc({ dry_run: String(isDryRun) }, steps),
    servedAhead: ({ steps, isDryRun }) => servedAhead.inc({ dry_run: String(isDryRun) }, steps),
    eventDropped: () => dropped.inc(),
    selfCheck: (isCalled) => selfChecks.inc({ result: isCalled ? 'called' : 'not-called' }),
    setMissingOutagePolicies: (count) => missingOutagePolicies.set(count),
    setLeader: (isLeader) => leader.set(isLeader ? 1 : 0),
    setCertificateExpiry: (unixSeconds) => expiry.set(unixSeconds),
  };
}
