import { z } from 'zod';
import type { Outputs } from '../argo/outputs.ts';

/**
 * What the sidecar posts: the values of the declared output parameters that come from files, a default where the file is
 * missing, and the result where the step has to report one. Names are unique, so that there is one reading of it.
 */
export const capturedSchema = z.strictObject({
  parameters: z
    .array(z.strictObject({ name: z.string(), value: z.string() }))
    .refine((parameters) => new Set(parameters.map(({ name }) => name)).size === parameters.length, {
      error: 'a name appears twice',
    }),
  result: z.string().optional(),
});
export type Captured = z.infer<typeof capturedSchema>;

/** What the sidecar would have posted, by a task result. */
export function capturedFrom(outputs: Outputs): Captured {
  const parameters = (outputs.parameters ?? []).flatMap(({ name, value }) =>
    value === undefined ? [] : [{ name, value }],
  );
  return { parameters, ...(typeof outputs.result === 'string' ? { result: outputs.result } : {}) };
}

/**
 * Whether captured values and a task result say the same wherever both speak of a thing. What only one of them has is no
 * disagreement here; `assembleEntry` decides which of the two a value must come from.
 */
export function agreesWith(captured: Captured, outputs: Outputs): boolean {
  const reported = new Map((outputs.parameters ?? []).map(({ name, value }) => [name, value]));
  const sameParameters = captured.parameters.every(({ name, value }) => {
    const other = reported.get(name);
    return other === undefined || other === value;
  });
  const sameResult =
    captured.result === undefined || typeof outputs.result !== 'string' || captured.result === outputs.result;
  return sameParameters && sameResult;
}
