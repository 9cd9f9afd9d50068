import {
  AT_ONCE,
  measureAdmission,
  measureAdmissionLoad,
  measureBesideHandshakes,
  measureDecision,
} from './admission.ts';
import { CACHES, ENTRIES_PER_CACHE } from './pod-reviews.ts';
import { measureSidecar, type SidecarTimes } from './sidecar.ts';
import { median, printTable, type Row, spread } from './statistics.ts';

/*
 * What admission and the sidecar take, without a cluster, in well under a minute. Absolute times depend on the machine and on
 * what else it does, so they are printed and never fail; ratios of two things measured in turn in the same run do, far
 * beyond what they are (docs/performance.md).
 */

interface Ratio {
  readonly what: string;
  readonly ratio: number;
  /** Committed, and generous: some three times what was measured. */
  readonly bound: number;
}

function ratioOf(what: string, samples: readonly number[], baseline: readonly number[], bound: number): Ratio {
  return { what, ratio: median(samples) / median(baseline), bound };
}

async function benchAdmission(): Promise<Ratio[]> {
  const { inside, roundTrip, bodyBytes } = await measureAdmission();
  printTable(`Admission of a pod, ${bodyBytes} bytes, ${CACHES} caches of ${ENTRIES_PER_CACHE} entries`, [
    ['inside the server, hit, ms', spread(inside.hit), 'limit: 5 at p99, unloaded'],
    ['inside the server, miss, ms', spread(inside.miss), 'limit: 5 at p99, unloaded'],
    ['inside the server, baseline, ms', spread(inside.baseline), 'the same body read, "allowed" answered'],
    ['round trip, hit, ms', spread(roundTrip.hit)],
    ['round trip, miss, ms', spread(roundTrip.miss)],
    ['round trip, baseline, ms', spread(roundTrip.baseline)],
  ]);
  return [
    ratioOf('admission of a hit to the baseline', inside.hit, inside.baseline, 4),
    ratioOf('admission of a miss to the baseline', inside.miss, inside.baseline, 4),
  ];
}

async function benchAdmissionLoad(): Promise<Ratio[]> {
  const { hit, miss, baseline } = await measureAdmissionLoad();
  printTable(`CPU of the server for one review, ${AT_ONCE} at a time`, [
    ['hit, ms', spread(hit)],
    ['miss, ms', spread(miss)],
    ['baseline, ms', spread(baseline)],
  ]);
  return [
    ratioOf('CPU of a hit under load to the baseline', hit, baseline, 8),
    ratioOf('CPU of a miss under load to the baseline', miss, baseline, 8),
  ];
}

async function benchHandshakes(): Promise<Ratio[]> {
  const { quiet, beside, rate } = await measureBesideHandshakes();
  printTable(`A hit beside ${median(rate).toFixed(0)} TLS handshakes a second`, [
    ['round trip, quiet, ms', spread(quiet)],
    ['round trip, beside them, ms', spread(beside)],
  ]);
  return [ratioOf('a hit beside handshakes to a quiet one', beside, quiet, 6)];
}

function benchDecision(): Ratio[] {
  const { hit, miss, parse } = measureDecision();
  printTable('The decision alone', [
    ['hit, ms', spread(hit, 3)],
    ['miss, ms', spread(miss, 3)],
    ['JSON.parse of the same review, ms', spread(parse, 3)],
  ]);
  return [
    ratioOf('decision of a hit to JSON.parse', hit, parse, 4),
    ratioOf('decision of a miss to JSON.parse', miss, parse, 4),
  ];
}

function memoryRows({ atRest, atEnd }: SidecarTimes): Row[] {
  const uses = { atRest: atRest.flatMap((use) => use ?? []), atEnd: atEnd.flatMap((use) => use ?? []) };
  if (uses.atRest.length === 0) return [['memory', 'not seen: there is no /proc here']];
  const mb = (bytes: number[]) =>
    spread(
      bytes.map((count) => count / 1e6),
      1,
    );
  return [
    ['resident memory while it waits, MB', mb(uses.atRest.map(({ rssBytes }) => rssBytes)), 'limit: 60'],
    ['resident memory while it posts, MB', mb(uses.atEnd.map(({ rssBytes }) => rssBytes)), 'limit: 60'],
    [
      'CPU from its start to the post, ms',
      spread(
        uses.atEnd.map(({ cpuMs }) => cpuMs),
        0,
      ),
    ],
  ];
}

async function benchSidecar(): Promise<Ratio[]> {
  const times = await measureSidecar();
  printTable(`The sidecar, ${times.endMs.length} runs`, [
    ['exit code there to process ended, ms', spread(times.endMs, 0), 'limit: 300'],
    ['a bare node -e 0, start to end, ms', spread(times.bareNodeMs, 0)],
    ...memoryRows(times),
  ]);
  return [ratioOf("the sidecar's end to a bare Node", times.endMs, times.bareNodeMs, 4)];
}

const ratios = [
  ...(await benchAdmission()),
  ...(await benchAdmissionLoad()),
  ...(await benchHandshakes()),
  ...benchDecision(),
  ...(await benchSidecar()),
];
printTable(
  'Ratios of medians',
  ratios.map(({ what, ratio, bound }): Row => [what, ratio.toFixed(2), `bound: ${bound}`]),
);
const beyond = ratios.filter(({ ratio, bound }) => !(ratio <= bound));
for (const { what, ratio, bound } of beyond) {
  console.error(`\n${what}: ${ratio.toFixed(2)} is beyond the bound of ${bound}, which no noise explains`);
}
process.exitCode = beyond.length === 0 ? 0 : 1;
