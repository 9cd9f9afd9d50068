import { readFileSync } from 'node:fs';
import { parser } from '@prometheus-io/lezer-promql';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { REASONS } from '../../../src/base/reasons.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';

/*
 * The alerts and the dashboard of the chart: each expression is one that Prometheus' own grammar takes, and speaks of metrics and
 * labels that the server has.
 */
const FILES = new URL('../../../charts/stepmemo/files/', import.meta.url);

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly description: string };
}
interface Panel {
  readonly title: string;
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const alerts = parse(readFileSync(new URL('alerts.yaml', FILES), 'utf8')) as {
  groups: readonly { readonly rules: readonly Rule[] }[];
};
const rules = alerts.groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(readFileSync(new URL('dashboard.json', FILES), 'utf8')) as { panels: readonly Panel[] };
/** Grafana fills its variables in before Prometheus sees them. */
const filled = (expr: string) => expr.replaceAll(/\$__(?:rate_interval|range)/g, '5m').replaceAll('$job', '.*');
const expressions: readonly (readonly [string, string])[] = [
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
  ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, filled(expr)] as const)),
];

const { registry } = createMetrics();
const LABELS_OF_SCRAPES = ['job', 'instance', 'le', 'quantile'];

/** The metric that a series belongs to, with the labels that it may have. */
function labelsOf(series: string): readonly string[] | undefined {
  const name = series.replace(/_(?:bucket|sum|count)$/, '');
  const metric = registry.getSingleMetric(series) ?? registry.getSingleMetric(name);
  if (metric === undefined) return undefined;
  const { labelNames = [] } = metric as unknown as { labelNames?: readonly string[] };
  return [...labelNames, ...LABELS_OF_SCRAPES];
}

interface Selector {
  readonly series: string;
  readonly labels: readonly string[];
  readonly reasons: readonly string[];
}

function selectorsOf(expr: string): readonly Selector[] {
  const selectors: Selector[] = [];
  parser.parse(expr).iterate({
    enter: (node) => {
      if (node.type.isError) throw new Error(`at ${node.from}: ${expr.slice(node.from, node.from + 30)}`);
      if (node.name !== 'VectorSelector') return;
      const text = expr.slice(node.from, node.to);
      const [, series = '', matchers = ''] = /^(\w+)(?:\{(.*)\})?/s.exec(text) ?? [];
      const labels = [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label);
      const [, reasons = ''] = /reason=~?"([^"]*)"/.exec(matchers) ?? [];
      selectors.push({ series, labels, reasons: reasons.split('|').filter((reason) => reason !== '') });
    },
  });
  return selectors;
}

describe.each(expressions)('%s', (_, expr) => {
  it('is one that Prometheus takes, of metrics and labels that are there', () => {
    const selectors = selectorsOf(expr);
    expect(selectors.length).toBeGreaterThan(0);
    for (const { series, labels, reasons } of selectors) {
      const known = labelsOf(series);
      expect(known, series).toBeDefined();
      expect(labels.filter((label) => known?.includes(label) !== true)).toEqual([]);
      expect(reasons.filter((reason) => !Object.hasOwn(REASONS, reason))).toEqual([]);
    }
    const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/));
    const known = new Set(selectors.flatMap(({ series }) => labelsOf(series) ?? []));
    expect(grouped.filter((label) => !known.has(label))).toEqual([]);
  });
});

it('an expression that is wrong is found', () => {
  expect(() => selectorsOf('sum(rate(stepmemo_leader[5m])')).toThrow(/^at /);
  expect(labelsOf('stepmemo_leeder')).toBeUndefined();
  expect(labelsOf('stepmemo_self_checks_total')).toContain('result');
});

it('each alert says what is the case, and what to do', () => {
  for (const { alert, annotations } of rules) {
    expect(alert).toMatch(/^Stepmemo[A-Z]\w+$/);
    expect([annotations.summary, annotations.description].join()).not.toMatch(/undefined|^,|,$/);
  }
});

it('legends name labels that the expression keeps', () => {
  for (const { targets } of dashboard.panels)
    for (const { expr, legendFormat } of targets)
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) expect(expr).toContain(label);
});
