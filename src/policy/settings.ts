import { z } from 'zod';
import { parseArgoVersion } from '../argo/versions.ts';
import { RULE_NAMES, RULES, type Rule } from './rules.ts';

export const severitySchema = z.enum(['deny', 'warn', 'off']);
export type Severity = z.infer<typeof severitySchema>;

const severitiesSchema = z.partialRecord(z.enum(RULE_NAMES), severitySchema);

/** The `policy` section of the configuration: the admin's word, not to be set by labels or annotations in a namespace. */
export const policySettingsSchema = z.strictObject({
  rules: severitiesSchema
    .default({})
    .describe('Severity of rules, by name: `deny`, `warn` or `off`. docs/policy.md has the rules and what is shipped.'),
  namespaces: z
    .record(z.string().min(1), severitiesSchema)
    .default({})
    .describe('The same for single namespaces, by their name; beats `rules`.'),
  argoVersion: z
    .string()
    .refine((text) => parseArgoVersion(text) !== undefined, 'expected a version such as 4.0.5')
    .optional()
    .describe('Version of the Argo that runs the workflows. Unset: read from the images of the running controllers.'),
  lookupDeadlineMs: z
    .int()
    .positive()
    .default(700)
    .describe(
      'How long one validation may look for caches and templates in the cluster; what is not found by then is not judged.',
    ),
  lookupLimit: z
    .int()
    .nonnegative()
    .default(50)
    .describe('How many caches and templates one validation may look for in the cluster.'),
});
export type PolicySettings = Readonly<z.infer<typeof policySettingsSchema>>;

/** What is in force without any setting. */
export const DEFAULT_POLICY: PolicySettings = policySettingsSchema.parse({});

/** The severity of a rule in a namespace; cluster-scoped objects have none. */
export function severityOf(rule: Rule, settings: PolicySettings, namespace: string | undefined): Severity {
  const own = namespace === undefined ? undefined : ownValue(settings.namespaces, namespace)?.[rule];
  return own ?? settings.rules[rule] ?? RULES[rule].severity;
}

/** A namespace may be called `constructor`. */
function ownValue<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
