/** Whether a workflow ended with look-ahead as it does without, apart from what a hit is known to change. */

interface Node {
  name: string;
  type: string;
  phase: string;
  message?: string;
  children: string[];
  outbound: string[];
  outputs: string[];
}

/** What the oracle says of one run. */
export interface Answer {
  readonly phase: string;
  readonly message: string;
  readonly pods: number;
  readonly nodes: readonly Node[];
  readonly error?: string;
  /** How it ended after `argo retry`, where it had failed. */
  readonly retried?: Answer;
  /** The same after `argo resubmit --memoized`. */
  readonly resubmitted?: Answer;
}

/** What was compared so far. */
export interface Counts {
  alike: number;
  'ended before its first look': number;
  'without an end': number;
  different: number;
  'by the order of pods': number;
  retried: number;
  resubmitted: number;
  pods: number;
  podsAhead: number;
  podsBehind: number;
  addedBehind: number;
}

export function newCounts(): Counts {
  return {
    alike: 0,
    'ended before its first look': 0,
    'without an end': 0,
    different: 0,
    'by the order of pods': 0,
    retried: 0,
    resubmitted: 0,
    pods: 0,
    podsAhead: 0,
    podsBehind: 0,
    addedBehind: 0,
  };
}

/** How a workflow was run: without look-ahead, with it, or with it behind what runs too. */
export type How = 'plain' | 'ahead' | 'behind';

/** What differs between a run without look-ahead, the first, and those with it; undefined where nothing does. */
export function findDifference(
  [first, ...others]: readonly { readonly how: How; readonly answer: Answer | undefined }[],
  counts: Counts,
): string | undefined {
  const plain = first?.answer;
  if (plain === undefined) return 'no answer';
  for (const { how, answer } of others) {
    if (answer === undefined) return 'no answer';
    counts[how === 'behind' ? 'podsBehind' : 'podsAhead'] += answer.pods;
    const difference =
      compare(plain, answer, counts) ??
      compareAgain('retried', plain, answer, counts) ??
      compareAgain('resubmitted', plain, answer, counts);
    if (difference !== undefined) return `${how}: ${difference}`;
  }
  counts.pods += plain.pods;
  // Where nothing is served at submission there is no such run.
  if (!others.some(({ how }) => how === 'ahead')) counts.podsAhead += plain.pods;
  return undefined;
}

const NO_DIFFERENCE: ReadonlySet<string> = new Set(['alike', 'nothing to compare']);

/** Whether the nodes are to be compared; or what differs in how the workflows end. */
function compareEnds(plain: Answer, ahead: Answer, counts: Counts): string {
  const [one, other] = [plain, ahead].map(({ phase, message, error }) => `${phase} ${message} ${error ?? ''}`);
  // An invalid workflow ends before anything runs; it keeps the nodes that it came with.
  if (plain.nodes.length === 0 && one === other) {
    counts['ended before its first look'] += 1;
    return 'nothing to compare';
  }
  // A run that has not ended within its looks, where the other one has: some orders of pods hold Argo up for long.
  if (plain.phase === 'Running' && ahead.phase !== 'Running') {
    counts['without an end'] += 1;
    return 'nothing to compare';
  }
  return plain.phase === ahead.phase ? 'alike' : `${one} became ${other}`;
}

/** What differs, apart from what a hit is known to change; undefined where nothing does. */
function compare(plain: Answer, ahead: Answer, counts: Counts): string | undefined {
  const end = compareEnds(plain, ahead, counts);
  if (end !== 'alike') return NO_DIFFERENCE.has(end) ? undefined : end;
  const [before, after] = [plain, ahead].map(withoutRetries);
  const names = new Set([...(before?.keys() ?? []), ...(after?.keys() ?? [])]);
  const failed = [...names].filter((name) => [before, after].some((nodes) => nodes?.get(name)?.phase === 'Failed'));
  for (const name of names) {
    const isFailed = plain.phase !== 'Succeeded' || failed.some((one) => isWithin(name, one));
    const difference = compareNodes(name, [before?.get(name), after?.get(name)], isFailed);
    if (difference !== undefined) return difference;
  }
  counts.alike += 1;
  return undefined;
}

function compareNodes(name: string, pair: readonly (Node | undefined)[], isFailed: boolean): string | undefined {
  // What else had begun when a workflow or a part of it failed, and what led to it, depends on the order in which its pods ended.
  if (isFailed && pair.some((node) => node?.phase !== 'Succeeded')) return undefined;
  // `argo retry` leaves nodes of earlier attempts behind as they were; what they had given by then is by chance.
  if (pair.every((node) => node?.phase === 'Running')) return undefined;
  const [one, other] = pair.map((node) => JSON.stringify(isFailed ? { ...node, children: [], outbound: [] } : node));
  return one === other ? undefined : `${name}: ${one} became ${other}`;
}

function isWithin(name: string, boundary: string): boolean {
  return name === boundary || (name.startsWith(boundary) && /^[.[(]/.test(name.slice(boundary.length)));
}

/** After `argo retry`, or in a new workflow that goes on from this one, all ends well, or does not, with and without. */
function compareAgain(
  how: 'retried' | 'resubmitted',
  { [how]: plain, nodes, phase }: Answer,
  { [how]: ahead }: Answer,
  counts: Counts,
): string | undefined {
  // An invalid workflow has nothing that could be retried; the docs say that Argo refuses to. Nor has one without an end.
  if (nodes.length === 0 || phase === 'Running') return undefined;
  if (plain === undefined || ahead === undefined) return plain === ahead ? undefined : 'one of them had not failed';
  counts[how] += 1;
  // Where Argo refuses without look-ahead (3.4, with nodes that still run), it owes nothing with it; nor where it panics at random.
  if (plain.error !== undefined || (how === 'resubmitted' && isRandomPanic(ahead))) return undefined;
  const difference = ahead.error ?? COMPARE_AGAIN[how](plain, ahead, counts);
  return difference && `${how}: ${difference}`;
}

/** FormulateResubmitWorkflow goes through a map while it changes it, with or without look-ahead. */
function isRandomPanic({ error }: Answer): boolean {
  return error?.startsWith('key was not found') === true;
}

const COMPARE_AGAIN = {
  /** Neither may have ended within its looks: retries of retries take many. */
  retried: (plain: Answer, ahead: Answer, counts: Counts): string | undefined =>
    plain.phase === 'Running' && ahead.phase === 'Running' ? undefined : compare(plain, ahead, counts),
  /**
   * Which nodes a new workflow begins with depends on what had ended when the other one failed: here the end alone counts, and only
   * where Argo comes to a good one (now and then it errs: "unable to obtain node").
   */
  resubmitted: (plain: Answer, ahead: Answer, counts: Counts): string | undefined => {
    if (plain.phase !== 'Succeeded') return undefined;
    // Argo makes Pods that it takes over Skipped. Where a fan-out of them gives outputs it never ends, and what depends on
    // `task.Succeeded` is omitted. Retried steps are spared, being no Pods, but for those that were served.
    const messages = [ahead.message, ...ahead.nodes.map(({ message = '' }) => message)];
    if (ahead.phase === 'Running' || messages.some((message) => message.includes('Unable to resolve'))) {
      counts['without an end'] += 1;
      return undefined;
    }
    const end = compareEnds(plain, ahead, counts);
    return NO_DIFFERENCE.has(end) ? undefined : end;
  },
};

/**
 * A retried leaf that ran is a Retry node with its attempts; one that is served is a Pod. Both become the Pod here. Argo names an
 * outbound node as often as ways lead to it: once is enough.
 */
function withoutRetries({ nodes }: Answer): Map<string, Node> {
  const byName = new Map(
    nodes.map(({ message: _, ...node }) => [node.name, { ...node, outbound: unique(node.outbound) }]),
  );
  for (const node of [...byName.values()].filter(({ type }) => type === 'Retry')) {
    const attempts = node.children.filter((child) => child.startsWith(`${node.name}(`));
    const last = byName.get(attempts.at(-1) ?? '');
    if (last === undefined) continue;
    const behind = attempts.flatMap((name) => byName.get(name)?.children ?? []);
    node.type = 'Pod';
    if (node.outputs.length === 0) node.outputs = last.outputs;
    node.children = unique([...node.children.filter((child) => !attempts.includes(child)), ...behind]);
    for (const name of attempts) byName.delete(name);
    const rename = (name: string) => (attempts.includes(name) ? node.name : name);
    for (const other of byName.values()) {
      other.outbound = unique(other.outbound.map(rename));
      other.children = unique(other.children.map(rename));
    }
  }
  return new Map([...byName].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)].sort();
}
