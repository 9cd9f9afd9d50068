import { expect, it } from 'vitest';
import { shrink, withoutOnePart } from '../../oracle/shrink.ts';

it('takes one part away at a time, and nothing that is needed', () => {
  expect([...withoutOnePart({ name: 'a', list: [1, { x: 1, name: 'b' }] })]).toEqual([
    { name: 'a' },
    { name: 'a', list: [{ x: 1, name: 'b' }] },
    { name: 'a', list: [1] },
    { name: 'a', list: [1, { name: 'b' }] },
  ]);
});

it('goes on as long as the case fails', async () => {
  const failing = { steps: [['a', 'bad'], ['c'], ['worse', 'd']], other: { deep: [1, 2, 3] } };
  const isFailing = (one: object) => JSON.stringify(one).includes('bad') && JSON.stringify(one).includes('worse');
  const asked: number[] = [];
  const smallest = await shrink(
    failing,
    async (cases) => {
      asked.push(cases.length);
      return cases.find(isFailing);
    },
    { size: 3 },
  );
  expect(smallest).toEqual({ steps: [['bad'], ['worse']] });
  expect(Math.max(...asked)).toBe(3);
});
