/** `when` of a step or task, where the outcome is beyond doubt (steps.go:shouldExecute). */
import { quote } from '../base/text.ts';
import { Unforeseen } from './values.ts';

/** A word that stands for itself, in quotes or not. Argo takes some others for numbers, times, operators or functions. */
const WORD = /^(["']?)([A-Za-z_][A-Za-z0-9_]*)\1$/;
const INTEGER = /^(?:0|[1-9]\d{0,14})$/;
/** What its evaluator gives a meaning of its own, or may. */
const RESERVED: ReadonlySet<string> = new Set(['true', 'false', 'in', 'nil', 'null']);

/** Whether a call is made, with a condition or without one; throws where Argo might see it otherwise. */
export function isMet(when: unknown): boolean {
  return (when ?? '') === '' || evaluateWhen(when);
}

/** Whether the step runs; throws where Argo might see it otherwise. */
export function evaluateWhen(when: unknown): boolean {
  const text = typeof when === 'string' ? when.trim() : '';
  if (text === 'true' || text === 'false') return text === 'true';
  const [, left = '', operator = '', right = ''] = /^(\S+)\s*(==|!=)\s*(\S+)$/.exec(text) ?? [];
  const [one, other] = [literalOf(left), literalOf(right)];
  if (one === undefined || other === undefined || typeof one !== typeof other)
    throw new Unforeseen(`when is ${quote(when)}`);
  return (one === other) === (operator === '==');
}

function literalOf(text: string): string | number | undefined {
  if (INTEGER.test(text)) return Number(text);
  const word = WORD.exec(text)?.[2];
  return word === undefined || RESERVED.has(word.toLowerCase()) ? undefined : word;
}
