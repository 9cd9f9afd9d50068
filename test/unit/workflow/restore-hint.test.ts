import { describe, expect, it } from 'vitest';
import { readMemoizeField } from '../../../src/argo/memoize-field.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { type Field, readHint, restoredBlock, writeHint } from '../../../src/workflow/restore-hint.ts';

const plain = { key: 'k', maxAge: '1h', cache: { configMap: { name: 'c' } } };

function hintOf(memoize: JsonObject, kept: readonly Field[] = []): Record<string, string> {
  const reading = readMemoizeField({ memoize });
  if (reading.state !== 'block') throw new Error(reading.state);
  const hint = Object.entries(writeHint(reading, { kept, was: undefined }));
  return Object.fromEntries(hint.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

describe('writeHint', () => {
  it.each<[string, JsonObject, readonly Field[], Record<string, string>]>([
    ['an ordinary block: nothing', plain, [], {}],
    ['no key', { cache: plain.cache }, [], { 'stepmemo.io/restore': 'without-key' }],
    ['no cache', { key: 'k' }, [], { 'stepmemo.io/restore': 'without-cache' }],
    ['an empty block', {}, [], { 'stepmemo.io/restore': 'without-key without-cache' }],
    [
      'what argo submit makes of a block',
      { key: 'k', maxAge: '', cache: { configMap: { name: 'c', key: '' } } },
      [],
      { 'stepmemo.io/restore': 'empty-max-age empty-configmap-key' },
    ],
    [
      'fields that lost',
      plain,
      ['key', 'cache', 'maxAge'],
      {
        'stepmemo.io/restore': 'kept-key kept-cache kept-max-age',
        'stepmemo.io/restore-key': 'k',
        'stepmemo.io/restore-cache': 'c',
        'stepmemo.io/restore-max-age': '1h',
      },
    ],
    ['a field that lost to nothing', { cache: plain.cache }, ['key'], { 'stepmemo.io/restore': 'kept-key' }],
    [
      'what words do not describe: JSON',
      { ...plain, other: '{{x}}' },
      ['key'],
      {
        'stepmemo.io/restore': `{"memoize":{"key":"k","maxAge":"1h","cache":{"configMap":{"name":"c"}},"other":"\\u007b\\u007bx}}"},"kept":["key"]}`,
      },
    ],
    [
      'a null: JSON',
      { ...plain, key: null },
      [],
      { 'stepmemo.io/restore': `{"memoize":${JSON.stringify({ ...plain, key: null })}}` },
    ],
  ])('of %s', (_, block, kept, hint) => {
    expect(hintOf(block, kept)).toEqual(hint);
  });
});

describe('readHint', () => {
  it('reads the JSON that 0.1.0 wrote, of ordinary blocks too', () => {
    const annotations = {
      'stepmemo.io/key': 'own',
      'stepmemo.io/cache': 'c',
      'stepmemo.io/max-age': '',
      'stepmemo.io/restore':
        '{"memoize":{"key":"k","cache":{"configMap":{"name":"c"}}},"kept":["key"],"was":"empty-annotations"}',
    };
    expect(readHint(annotations)).toMatchObject({ kept: ['key'], was: 'empty-annotations' });
    expect(restoredBlock(annotations)).toEqual({ key: 'k', cache: { configMap: { name: 'c' } } });
  });

  it('passes over words that it does not know', () => {
    const annotations = { 'stepmemo.io/restore': 'kept-key later-word null-metadata' };
    expect(readHint(annotations)).toEqual({ kept: ['key'], was: 'null-metadata', shapes: [] });
  });
});
