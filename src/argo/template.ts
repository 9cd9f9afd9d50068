import { z } from 'zod';
import { outputsSchema } from './outputs.ts';

/**
 * `memoize` as a template carries it, substituted. `cache` and `configMap` may be missing in what the minimal CRDs admit.
 */
export const memoizeSchema = z.looseObject({
  key: z.string().optional(),
  maxAge: z.string().optional(),
  cache: z.looseObject({ configMap: z.looseObject({ name: z.string().optional() }).nullish() }).nullish(),
});
export type Memoize = z.infer<typeof memoizeSchema>;

/** A processed template (ARGO_TEMPLATE), the parts that stepmemo reads. */
export const templateSchema = z.looseObject({
  name: z.string().optional(),
  outputs: outputsSchema.nullish(),
  metadata: z
    .looseObject({
      annotations: z.record(z.string(), z.string()).nullish(),
      labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
  memoize: memoizeSchema.nullish(),
  daemon: z.boolean().nullish(),
  container: z.looseObject({}).nullish(),
  script: z.looseObject({}).nullish(),
  containerSet: z.looseObject({ containers: z.array(z.looseObject({ name: z.string() })) }).nullish(),
  resource: z.looseObject({ action: z.string().optional() }).nullish(),
  data: z.looseObject({}).nullish(),
  archiveLocation: z.looseObject({ archiveLogs: z.boolean().nullish() }).nullish(),
});
export type Template = z.infer<typeof templateSchema>;
