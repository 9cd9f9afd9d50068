import { pathToFileURL } from 'node:url';
import type { MemoizeMode } from '../../base/names.ts';
import type { Finding } from '../../policy/finding.ts';
import { RULES } from '../../policy/rules.ts';
import type { Position } from './source.ts';

/** A finding with its place in the input. */
export interface LintFinding extends Finding, Position {
  readonly file: string;
  readonly kind: string;
  /** Of the object; its generateName where it has no name. */
  readonly object: string;
}

export interface LintReport {
  readonly findings: readonly LintFinding[];
  readonly errors: readonly string[];
  readonly fileCount: number;
  /** Objects that the rules are about. */
  readonly objectCount: number;
  /** `unknown`, or as in 4.0.5. */
  readonly argoVersion: string;
  readonly mode: MemoizeMode;
}

/** One line a finding, as compilers print them, and a summary. */
export function formatText(report: LintReport): string {
  const lines = report.findings.map(({ file, line, column, severity, path, message, fix, rule }) => {
    return `${file}:${line}:${column}: ${severity}: ${path}: ${message} ${fix} [${rule}]`;
  });
  return [...lines, summary(report)].join('\n');
}

function summary({ findings, errors, fileCount, objectCount, argoVersion, mode }: LintReport): string {
  const denials = findings.filter(({ severity }) => severity === 'deny').length;
  const none = errors.length === 0 ? 'nothing found' : 'nothing found in what could be read';
  const found = findings.length === 0 ? none : `${denials} denied, ${count(findings.length - denials, 'warning')}`;
  const version = argoVersion === 'unknown' ? 'unknown version' : argoVersion;
  return `${found}: ${count(objectCount, 'object')} in ${count(fileCount, 'file')}, Argo ${version}, ${mode} mode`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

export function formatJson({ findings, ...report }: LintReport): string {
  const shown = findings.map(({ file, line, column, kind, object, rule, severity, path, pointer, message, fix }) => {
    return { file, line, column, kind, object, rule, severity, path, pointer, message, fix };
  });
  return JSON.stringify({ ...report, findings: shown }, null, 2);
}

/** SARIF 2.1.0, for code scanning in a repository. */
export function formatSarif({ findings, errors }: LintReport): string {
  const used = [...new Set(findings.map(({ rule }) => rule))];
  const rules = used.map((id) => ({
    id,
    shortDescription: { text: RULES[id].meaning },
    fullDescription: { text: RULES[id].why },
    help: { text: RULES[id].fix },
    defaultConfiguration: { level: level(RULES[id].severity) },
  }));
  const run = {
    tool: { driver: { name: 'stepmemo', rules } },
    // Each file is read as UTF-8, and columns count UTF-16 units.
    columnKind: 'utf16CodeUnits',
    invocations: [
      {
        executionSuccessful: errors.length === 0,
        toolExecutionNotifications: errors.map((text) => ({ level: 'error', message: { text } })),
      },
    ],
    results: findings.map((finding) => ({ ...resultOf(finding), ruleIndex: used.indexOf(finding.rule) })),
  };
  return JSON.stringify(
    { $schema: 'https://json.schemastore.org/sarif-2.1.0.json', version: '2.1.0', runs: [run] },
    null,
    2,
  );
}

function resultOf({ rule, severity, path, message, fix, file, line, column, kind, object }: LintFinding) {
  return {
    ruleId: rule,
    level: level(severity),
    message: { text: `${path}: ${message} ${fix}` },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: uriOf(file) },
          region: { startLine: line, startColumn: column },
        },
        logicalLocations: [{ fullyQualifiedName: `${kind}/${object}/${path}` }],
      },
    ],
  };
}

/** Relative paths stay relative, which is what code scanning wants; they are escaped as URIs. */
function uriOf(file: string): string {
  if (file === '-') return 'stdin';
  if (file.startsWith('/')) return pathToFileURL(file).href;
  return file.split(/[\\/]/).map(encodeURIComponent).join('/');
}

function level(severity: 'deny' | 'warn' | 'off'): 'error' | 'warning' | 'none' {
  return severity === 'deny' ? 'error' : severity === 'warn' ? 'warning' : 'none';
}
