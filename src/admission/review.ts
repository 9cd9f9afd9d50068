import { z } from 'zod';
import type { KubeObject } from '../kube/types.ts';

const kubeObjectSchema = z.custom<KubeObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'expected an object',
);

const groupVersionKind = z.object({ group: z.string(), version: z.string(), kind: z.string() });

/**
 * An AdmissionReview as the API server sends it (admission.k8s.io/v1). The object inside is only known to be an object:
 * each handler reads the parts that it needs and takes nothing for granted.
 */
export const reviewSchema = z.object({
  apiVersion: z.literal('admission.k8s.io/v1'),
  kind: z.literal('AdmissionReview'),
  request: z.object({
    uid: z.string().min(1),
    kind: groupVersionKind,
    operation: z.enum(['CREATE', 'UPDATE', 'DELETE', 'CONNECT']),
    subResource: z.string().optional(),
    name: z.string().optional(),
    namespace: z.string().optional(),
    userInfo: z.object({ username: z.string().optional() }).default({}),
    object: kubeObjectSchema.nullish(),
    oldObject: kubeObjectSchema.nullish(),
    dryRun: z.boolean().nullish(),
  }),
});
export type AdmissionRequest = z.infer<typeof reviewSchema>['request'];

/** Why a body is no AdmissionReview, in one line that names each field. */
export function describeReviewError(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`).join('; ');
}
