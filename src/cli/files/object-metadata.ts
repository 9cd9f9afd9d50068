import { z } from 'zod';

const text = z.string().nullish();
const texts = z.record(z.string(), z.string().nullable()).nullish();
const time = z.string().nullish();
const list = <T extends z.ZodType>(item: T) => z.array(item.nullable()).nullish();

/** The metadata of an object, as kubectl decodes it before it sends anything (apimachinery: meta/v1.ObjectMeta). */
const metadataSchema = z.looseObject({
  name: text,
  generateName: text,
  namespace: text,
  selfLink: text,
  uid: text,
  resourceVersion: text,
  generation: z.union([z.int(), z.bigint()]).nullish(),
  creationTimestamp: time,
  deletionTimestamp: time,
  deletionGracePeriodSeconds: z.union([z.int(), z.bigint()]).nullish(),
  labels: texts,
  annotations: texts,
  ownerReferences: list(
    z.looseObject({
      apiVersion: text,
      kind: text,
      name: text,
      uid: text,
      controller: z.boolean().nullish(),
      blockOwnerDeletion: z.boolean().nullish(),
    }),
  ),
  finalizers: list(z.string()),
  managedFields: list(z.looseObject({})),
});

/** What kubectl would refuse in an object's metadata, as a sentence without its full stop; undefined where nothing. */
export function metadataProblem(metadata: unknown): string | undefined {
  if (metadata === undefined || metadata === null) return undefined;
  const read = metadataSchema.safeParse(metadata);
  if (read.success) return undefined;
  const [issue] = read.error.issues;
  return `${['metadata', ...(issue?.path.map(String) ?? [])].join('.')}: ${issue?.message ?? 'cannot be read'}`;
}
