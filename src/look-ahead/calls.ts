/** What a steps or DAG template calls, and in which order: groups, dependencies, items. */
import { isObject, type JsonObject } from '../base/json.ts';
import { Unforeseen } from './values.ts';

/** A step or a task; `depends` are the tasks that have to have succeeded. */
export interface Call {
  readonly name: string;
  readonly raw: JsonObject;
}

export interface Task extends Call {
  readonly depends: readonly string[];
  /** Those of them that must not have been skipped either (`a.Succeeded`). */
  readonly strict: ReadonlySet<string>;
}

/** Lists that could grow without a bound of ours. */
const ITEM_LIMIT = 1_000;

export function readGroups(template: JsonObject): readonly (readonly Call[])[] {
  const groups = template.steps;
  if (!Array.isArray(groups)) throw new Unforeseen('its steps are no list');
  return groups.map((group: unknown) => {
    if (!Array.isArray(group) || group.length === 0) throw new Unforeseen('its steps are no list of lists of steps');
    return group.map(readCall);
  });
}

/** The tasks that will run, in an order in which each follows what it depends on. */
export function readTasks(template: JsonObject): readonly Task[] {
  const { dag } = template;
  if (!isObject(dag) || !Array.isArray(dag.tasks)) throw new Unforeseen('its DAG has no tasks');
  const tasks = new Map(dag.tasks.map(readTask).map((task) => [task.name, task]));
  if (tasks.size !== dag.tasks.length) throw new Unforeseen('two of its tasks have one name');
  const target =
    typeof dag.target === 'string' && dag.target !== '' ? dag.target.split(' ') : leavesOf([...tasks.values()]);
  return sortByNeed(tasks, target);
}

/** The tasks that nothing depends on. */
export function leavesOf(tasks: readonly Task[]): readonly string[] {
  const needed = new Set(tasks.flatMap(({ depends }) => depends));
  return tasks.map(({ name }) => name).filter((name) => !needed.has(name));
}

/** Not recursive: how deep it goes is the sender's choice. */
function sortByNeed(tasks: ReadonlyMap<string, Task>, target: readonly string[]): readonly Task[] {
  const sorted: Task[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const waiting = [...target].reverse();
  for (let name = waiting.at(-1); name !== undefined; name = waiting.at(-1)) {
    const task = tasks.get(name);
    if (task === undefined) throw new Unforeseen(`the task ${name} is missing`);
    if (state.get(name) === undefined) {
      state.set(name, 'open');
      waiting.push(...openNeeds(task, state));
      continue;
    }
    waiting.pop();
    if (state.get(name) === 'open') sorted.push(task);
    state.set(name, 'done');
  }
  return sorted;
}

function openNeeds({ name, depends }: Task, state: ReadonlyMap<string, 'open' | 'done'>): readonly string[] {
  const open = depends.filter((one) => state.get(one) !== 'done');
  if (open.some((one) => state.get(one) === 'open')) throw new Unforeseen(`the task ${name} depends on itself`);
  return open.reverse();
}

function readCall(raw: unknown): Call {
  if (!isObject(raw) || typeof raw.name !== 'string') throw new Unforeseen('a step or task of it has no name');
  return { name: raw.name, raw };
}

function readTask(raw: unknown): Task {
  const call = readCall(raw);
  const { depends, dependencies } = call.raw;
  const list = Array.isArray(dependencies) ? dependencies.filter((name) => typeof name === 'string') : [];
  const isExpression = typeof depends === 'string' && depends !== '';
  const needs = isExpression ? readDepends(depends) : { depends: list, strict: new Set<string>() };
  const reserved = needs.depends.find((name) => RESERVED.has(name));
  if (reserved !== undefined) throw new Unforeseen(`it depends on a task named ${reserved}`);
  return { ...call, ...needs };
}

/** Both ways become an expression (ancestry.go), in which these are no names: Argo errs there (expr-lang's operators and literals). */
const RESERVED: ReadonlySet<string> = new Set([
  ...['and', 'or', 'not', 'in', 'matches', 'contains', 'startsWith', 'endsWith', 'let', 'if', 'else'],
  ...['true', 'false', 'nil'],
]);

/** Names joined by `&&`, each alone or with `.Succeeded`: all of them have to have succeeded, or been skipped (ancestry.go). */
function readDepends(text: string): Pick<Task, 'depends' | 'strict'> {
  const strict = new Set<string>();
  const depends = text.split('&&').map((part) => {
    const match = /^\s*\(?\s*([A-Za-z0-9_-]+)(\.Succeeded)?\s*\)?\s*$/.exec(part);
    const [, name, succeeded] = match ?? [];
    if (name === undefined) throw new Unforeseen(`depends is ${JSON.stringify(text)}`);
    if (succeeded !== undefined) strict.add(name);
    return name;
  });
  return { depends, strict };
}

/** One run of a call: its name as Argo extends it, and what `{{item…}}` stands for. */
export interface Item {
  readonly suffix: string;
  readonly values: ReadonlyMap<string, string>;
}

/** Whether it is made once for each item (workflow_types.go:ShouldExpand). */
export function hasItems({ raw: { withItems, withParam, withSequence } }: Call): boolean {
  const isListed = Array.isArray(withItems) && withItems.length > 0;
  return isListed || (withParam ?? '') !== '' || (withSequence ?? undefined) !== undefined;
}

/** The items of a call whose list is known; undefined where it is called once (operator.go:processItem, steps.go:expandStep). */
export function readItems(call: Call): readonly Item[] | undefined {
  if (!hasItems(call)) return undefined;
  const { withItems, withParam, withSequence } = call.raw;
  const isListed = Array.isArray(withItems) && withItems.length > 0;
  const list = isListed
    ? withItems
    : withParam !== undefined && withParam !== ''
      ? parseList(withParam)
      : readSequence(withSequence);
  if (list.length === 0) throw new Unforeseen('its list of items is empty');
  if (list.length > ITEM_LIMIT) throw new Unforeseen(`it has more than ${ITEM_LIMIT} items`);
  return list.map(readItem);
}

function parseList(withParam: unknown): readonly unknown[] {
  let list: unknown;
  try {
    list = typeof withParam === 'string' ? JSON.parse(withParam) : undefined;
  } catch {
    throw new Unforeseen('its withParam is not known, or no JSON list');
  }
  if (!Array.isArray(list)) throw new Unforeseen('its withParam is no list');
  return list;
}

/** `count`, or `start` to `end`, without a format: the numbers as text. */
function readSequence(sequence: unknown): readonly unknown[] {
  if (!isObject(sequence) || (sequence.format ?? '') !== '') throw new Unforeseen('its withSequence has a format');
  const [count, start, end] = [sequence.count, sequence.start ?? 0, sequence.end].map(readInteger);
  if (start === undefined || (count === undefined) === (end === undefined))
    throw new Unforeseen('its withSequence is not known');
  const last = end ?? start + (count ?? 0) - 1;
  if (Math.abs(last - start) >= ITEM_LIMIT) throw new Unforeseen(`it has more than ${ITEM_LIMIT} items`);
  const step = start <= last ? 1 : -1;
  if (count === 0) return [];
  return Array.from({ length: Math.abs(last - start) + 1 }, (_, index) => String(start + step * index));
}

function readInteger(value: unknown): number | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (!/^-?\d{1,9}$/.test(String(value))) throw new Unforeseen('its withSequence is not known');
  return Number(value);
}

/** Texts that are the same in a name, in JSON and in Go's own words, in every version of Argo. */
const PLAIN = /^[\p{L}\p{N} _.,:;+*/=~^$#!?@%|-]*$/u;

function plain(value: unknown): string {
  const isPlain = typeof value === 'boolean' || (typeof value === 'number' && Number.isSafeInteger(value));
  if (isPlain) return String(value);
  if (typeof value === 'string' && PLAIN.test(value) && value.length <= 100) return value;
  throw new Unforeseen('an item of it is one that Argo may write otherwise');
}

function readItem(item: unknown, index: number): Item {
  if (!isObject(item)) {
    const text = plain(item);
    return { suffix: `(${index}:${text})`, values: new Map([['item', text]]) };
  }
  const members = Object.entries(item).map(([key, value]) => [plain(key), plain(value)] as const);
  const words = members.map(([key, value]) => `${key}:${value}`).sort((a, b) => (a < b ? -1 : 1));
  return {
    suffix: `(${index}:${words.join(',')})`,
    values: new Map(members.map(([key, value]) => [`item.${key}`, value])),
  };
}
