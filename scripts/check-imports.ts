/**
 * Holds the floors of src/: each room imports only from itself and from rooms below it, and nothing imports in a circle,
 * types included. `node scripts/check-imports.ts [FOLDER]` prints each offence and exits with 1.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';

/** From the ground up. What stands in one group knows nothing of the others in it. */
const FLOORS: readonly (readonly string[])[] = [
  ['base'],
  ['kube'],
  ['argo'],
  ['cache', 'sidecar'],
  ['step'],
  ['workflow', 'look-ahead'],
  ['policy'],
  ['config', 'telemetry'],
  ['informers'],
  ['capture'],
  ['controller'],
  ['tls'],
  ['admission'],
  ['memory-bounds.ts'],
  ['server.ts'],
  ['cli'],
  ['main.ts'],
];

const folder = process.argv[2] ?? 'src';
const offences = await findOffences(folder);
for (const offence of offences) console.error(offence);
if (offences.length > 0) process.exit(1);

async function findOffences(root: string): Promise<readonly string[]> {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => /(?<!\.d)\.ts$/.test(name));
  const { modules } = await readModules(root);
  const own = modules.filter(({ source }) => source.startsWith(`${root}/`));
  // Without its parser for this TypeScript the library reads nothing, and finds nothing wrong with it.
  const unread = files.map((name) => join(root, name)).filter((name) => !own.some(({ source }) => source === name));
  const edges = own.flatMap(({ source, dependencies }) => {
    return dependencies
      .filter(({ resolved }) => resolved.startsWith(`${root}/`))
      .map(({ resolved, circular, cycle }) => ({ source, resolved, circular, cycle }));
  });
  if (edges.length === 0) return [`no import at all was found below ${root}`];
  return [
    ...unread.map((name) => `not read: ${name}`),
    ...edges.flatMap(({ source, resolved }) => describeClimb(root, source, resolved)),
    ...edges
      .filter(({ circular }) => circular)
      .map(({ source, resolved, cycle }) => {
        return `circle: ${[source, ...(cycle ?? []).map(({ name }) => name)].join(' → ') || `${source} ⇄ ${resolved}`}`;
      }),
  ];
}

async function readModules(root: string): Promise<ICruiseResult> {
  const { output } = await cruise([root], {
    parser: 'swc',
    // Imports of types count: they disappear when the program runs, but not from what a reader has to know.
    tsPreCompilationDeps: true,
    detectProcessBuiltinModuleCalls: false,
    doNotFollow: { path: 'node_modules' },
    ruleSet: { forbidden: [{ name: 'circle', severity: 'error', from: {}, to: { circular: true } }] },
    validate: true,
  });
  if (typeof output === 'string') throw new Error(output);
  return output;
}

function describeClimb(root: string, source: string, target: string): readonly string[] {
  const [from, to] = [roomOf(root, source), roomOf(root, target)];
  if (from === to) return [];
  const [low, high] = [floorOf(from), floorOf(to)];
  if (low === -1) return [`no floor is set for ${from} (scripts/check-imports.ts)`];
  return high < low && high !== -1 ? [] : [`upward: ${source} imports ${target}`];
}

function roomOf(root: string, path: string): string {
  return path.slice(root.length + 1).split('/', 1)[0] ?? '';
}

function floorOf(room: string): number {
  return FLOORS.findIndex((rooms) => rooms.includes(room));
}
