import { CHECKS } from '../cluster/checks.ts';
import { beginCheckup, type Finding } from '../cluster/checkup/finding.ts';
import { formatTable, type KubeCommandDeps } from '../cluster/kube-command.ts';
import { type Format, printAs } from '../formats.ts';

export interface DoctorOptions {
  /** Where stepmemo runs. */
  readonly ownNamespace: string;
  readonly output: Format;
}

/** Nothing is wrong, but something could not be looked at. */
const EXIT_UNCHECKED = 3;

/**
 * `stepmemo doctor`: looks at an installation and says what is wrong with it, and how to fix it. Changes nothing; the one thing
 * that it creates is a dry run. Exit code 0; 1 where there is a problem; 3 where there is none but not all could be checked.
 */
export async function runDoctor(
  { ownNamespace, output }: DoctorOptions,
  { kube, out }: KubeCommandDeps,
): Promise<number> {
  const checkup = await beginCheckup(kube, ownNamespace);
  const findings: Finding[] = [];
  for (const check of CHECKS) findings.push(...(await check(checkup)));
  const has = (state: Finding['state']) => findings.some((finding) => finding.state === state);
  const exitCode = has('problem') ? 1 : has('not checked') ? EXIT_UNCHECKED : 0;
  printAs(out, output, { data: { findings }, names: findings.map(({ check }) => check), text: () => textOf(findings) });
  return exitCode;
}

function textOf(findings: readonly Finding[]): string {
  const rows = findings.map(({ check, state, detail }) => [check, state, detail]);
  const fixes = findings.filter(({ state }) => state === 'problem').map(({ check, fix = '' }) => `- ${check}: ${fix}`);
  const table = formatTable(['CHECK', 'STATE', 'DETAIL'], rows);
  return fixes.length === 0 ? table : `${table}\n\nWhat to do:\n${fixes.join('\n')}`;
}
