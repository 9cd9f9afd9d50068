// Adds up vitest's JSON reports: names each failed test with its first words, then prints 'N passed, N failed' (', N skipped') as
// the last line. Of a long run only the end is often kept.
//   count-tests.ts FAILED_STEPS REPORT_DIR
import { readdirSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly message?: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages?: readonly string[] | null;
    }[];
  }[];
}

function nameFailures({ testResults }: Report): void {
  for (const { name, assertionResults } of testResults) {
    const file = relative(process.cwd(), name);
    for (const { status, fullName, failureMessages } of assertionResults) {
      if (status !== 'failed') continue;
      const [first = ''] = (failureMessages?.[0] ?? '').split('\n');
      console.log(`FAILED ${file}: ${fullName}: ${first.slice(0, 300)}`);
    }
  }
}

const [failedSteps = '0', directory = '.'] = process.argv.slice(2);
const total = { passed: 0, failed: 0, skipped: 0 };
for (const file of readdirSync(directory).filter((name) => name.endsWith('.json'))) {
  const report = JSON.parse(readFileSync(`${directory}/${file}`, 'utf8')) as Report;
  nameFailures(report);
  total.passed += report.numPassedTests;
  total.failed += report.numFailedTests;
  total.skipped += report.numPendingTests + report.numTodoTests;
}
// A step may have failed without a failed test: a file that does not load, a set-up that broke, the linter.
const failed = Math.max(total.failed, Number(failedSteps));
console.log(`${total.passed} passed, ${failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`);
process.exit(failed > 0 || total.passed === 0 ? 1 : 0);
