import { z } from 'zod';

// Unknown members are kept (loose): what Argo writes today and stepmemo does not know must survive a round trip.

/** A value of a parameter. Argo writes strings, and accepts numbers and booleans (AnyString of argo-workflows). */
const anyString = z.union([z.string(), z.number(), z.boolean()]).transform(String);

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
    .optional(),
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
