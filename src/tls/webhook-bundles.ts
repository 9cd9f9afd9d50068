import { z } from 'zod';
import { type JsonPatch, type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import { isOvertaken, type KubeApi, type KubeObject, type ObjectPath, RESOURCES } from '../kube/types.ts';
import { isSameBundle } from './authority.ts';

/** cert-manager's cainjector writes the bundle into whatever carries one of these. */
const INJECTOR_PREFIX = 'cert-manager.io/inject-';

const MOST_TRIES = 5;

export interface WebhookBundlesOptions {
  readonly kube: Pick<KubeApi, 'get' | 'patch'>;
  /** Name of both configurations, the mutating and the validating one. */
  readonly configurationName: string;
  /** Webhooks that lead to another Service are left alone. */
  readonly service: { readonly namespace: string; readonly name: string };
}

export type ReadBack =
  | {
      readonly ok: true;
      /** The bundle of each of our webhooks, as the API server has it; empty where no configuration is there. */
      readonly bundles: readonly { readonly webhook: string; readonly pem: string }[];
    }
  | { readonly ok: false; readonly message: string };

const configurationSchema = z.object({
  metadata: z.object({
    resourceVersion: z.string(),
    annotations: z.record(z.string(), z.string()).nullish(),
  }),
  webhooks: z
    .array(
      z.object({
        name: z.string(),
        clientConfig: z.object({
          service: z.object({ namespace: z.string(), name: z.string() }).nullish(),
          caBundle: z.string().nullish(),
        }),
      }),
    )
    .nullish(),
});

/** One webhook of ours within its configuration. */
interface Place {
  readonly index: number;
  readonly webhook: string;
  readonly pem: string;
}

/**
 * Makes every webhook of ours carry `bundle` (PEM), where it does not yet, and returns what the API server has then.
 * Without a `bundle`, and where cert-manager injects it, it only reads.
 */
export async function keepWebhookBundles(
  options: WebhookBundlesOptions,
  bundle: string | undefined,
): Promise<ReadBack> {
  const bundles: { webhook: string; pem: string }[] = [];
  for (const resource of [RESOURCES.mutatingWebhookConfigurations, RESOURCES.validatingWebhookConfigurations]) {
    const outcome = await keepOne(options, { resource, name: options.configurationName }, bundle);
    if (!outcome.ok) return outcome;
    bundles.push(...outcome.bundles);
  }
  return { ok: true, bundles };
}

async function keepOne(
  options: WebhookBundlesOptions,
  path: ObjectPath,
  bundle: string | undefined,
): Promise<ReadBack> {
  let outcome: Attempt = { ok: false, message: '', isRaceLost: false };
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    outcome = await tryOne(options, path, bundle);
    if (outcome.ok || !outcome.isRaceLost) break;
  }
  return outcome.ok ? outcome : { ok: false, message: `${path.resource.resource} ${path.name}: ${outcome.message}` };
}

type Attempt = (ReadBack & { ok: true }) | { ok: false; message: string; isRaceLost: boolean };

async function tryOne(options: WebhookBundlesOptions, path: ObjectPath, bundle: string | undefined): Promise<Attempt> {
  const read = await options.kube.get(path);
  if (!read.ok) {
    return read.status === 404 ? { ok: true, bundles: [] } : { ok: false, message: read.message, isRaceLost: false };
  }
  const { places, resourceVersion, isInjected } = placesIn(read.value, options);
  if (bundle === undefined || isInjected) return { ok: true, bundles: places };
  const wrong = places.filter(({ pem }) => !isSameBundle(pem, bundle));
  if (wrong.length === 0) return { ok: true, bundles: places };
  const written = await options.kube.patch(path, patchOf(resourceVersion, wrong, bundle));
  return written.ok
    ? { ok: true, bundles: placesIn(written.value, options).places }
    : { ok: false, message: written.message, isRaceLost: isOvertaken(written) };
}

function placesIn(
  object: KubeObject,
  options: WebhookBundlesOptions,
): { places: Place[]; resourceVersion: string; isInjected: boolean } {
  const { metadata, webhooks } = configurationSchema.parse(object);
  const isOurs = (service: { namespace: string; name: string } | null | undefined) =>
    service?.namespace === options.service.namespace && service.name === options.service.name;
  const places = (webhooks ?? []).flatMap(({ name, clientConfig }, index) =>
    isOurs(clientConfig.service)
      ? [{ index, webhook: name, pem: Buffer.from(clientConfig.caBundle ?? '', 'base64').toString() }]
      : [],
  );
  const isInjected = Object.keys(metadata.annotations ?? {}).some((key) => key.startsWith(INJECTOR_PREFIX));
  return { places, resourceVersion: metadata.resourceVersion, isInjected };
}

/** The version is tested, since positions in the list count: nobody may have changed it in between. */
function patchOf(resourceVersion: string, places: readonly Place[], bundle: string): JsonPatch {
  const value = Buffer.from(bundle).toString('base64');
  const operations = places.map(
    ({ index }): JsonPatchOperation => ({
      op: 'add',
      path: pointer('webhooks', index, 'clientConfig', 'caBundle'),
      value,
    }),
  );
  return [{ op: 'test', path: '/metadata/resourceVersion', value: resourceVersion }, ...operations];
}
