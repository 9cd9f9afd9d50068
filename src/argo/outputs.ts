import { z } from 'zod';

// Unknown members are kept (loose): what Argo writes today and stepmemo does not know must survive a round trip.

/** A number as Go's strconv.FormatFloat(n, 'f', -1, 64) writes it: never with an exponent. */
function formatNumber(value: number): string {
  const text = String(value);
  const match = /^(-?)(\d+)(?:\.(\d+))?e([+-]\d+)$/.exec(text);
  if (match === null) return text;
  const [, sign = '', whole = '', fraction = '', exponentText = '0'] = match;
  const digits = whole + fraction;
  const point = whole.length + Number(exponentText);
  if (point >= digits.length) return `${sign}${digits.padEnd(point, '0')}`;
  if (point <= 0) return `${sign}0.${digits.padStart(digits.length - point, '0')}`;
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

/**
 * A value of a parameter. Argo writes strings, and accepts numbers and booleans
 * (pkg/apis/workflow/v1alpha1/any_string.go). A null pointer is no value.
 */
const anyString = z
  .union([z.string(), z.number(), z.boolean(), z.null()])
  .transform((value) => (value === null ? undefined : typeof value === 'number' ? formatNumber(value) : String(value)));

export const parameterSchema = z.looseObject({
  name: z.string(),
  value: anyString.optional(),
  default: anyString.optional(),
  globalName: z.string().optional(),
  valueFrom: z
    .looseObject({
      path: z.string().optional(),
      default: anyString.optional(),
    })
    .nullish(),
});
export type Parameter = z.infer<typeof parameterSchema>;

export const artifactSchema = z.looseObject({
  name: z.string(),
  path: z.string().optional(),
  globalName: z.string().optional(),
  optional: z.boolean().optional(),
});
export type Artifact = z.infer<typeof artifactSchema>;

/** Outputs of a node, of a WorkflowTaskResult, of a cache entry, and (declared) of a template. */
export const outputsSchema = z.looseObject({
  parameters: z.array(parameterSchema).nullish(),
  artifacts: z.array(artifactSchema).nullish(),
  result: z.string().nullish(),
  exitCode: z.string().nullish(),
});
export type Outputs = z.infer<typeof outputsSchema>;
