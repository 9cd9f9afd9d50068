// Adds up vitest's JSON reports and prints 'N passed, N failed' (', N skipped') as the last line.
//   count-tests.ts FAILED_STEPS REPORT_DIR
import { readdirSync, readFileSync } from 'node:fs';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
}

const [failedSteps = '0', directory = '.'] = process.argv.slice(2);
const total = { passed: 0, failed: 0, skipped: 0 };
for (const file of readdirSync(directory).filter((name) => name.endsWith('.json'))) {
  const report = JSON.parse(readFileSync(`${directory}/${file}`, 'utf8')) as Report;
  total.passed += report.numPassedTests;
  total.failed += report.numFailedTests;
  total.skipped += report.numPendingTests + report.numTodoTests;
}
// A step may have failed without a failed test: a file that does not load, a set-up that broke, the linter.
const failed = Math.max(total.failed, Number(failedSteps));
console.log(`${total.passed} passed, ${failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`);
process.exit(failed > 0 || total.passed === 0 ? 1 : 0);
