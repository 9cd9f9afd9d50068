import { z } from 'zod';
import { type JsonPatch, type JsonPatchOperation, pointer } from '../base/json-patch.ts';
import { retryOvertaken } from '../kube/retry.ts';
import { isOvertaken, type KubeApi, type KubeObject, type ObjectPath, RESOURCES } from '../kube/types.ts';
import { isSameBundle } from './authority.ts';

/** cert-manager's cainjector writes the bundle into whatever carries one of these. */
const INJECTOR_PREFIX = 'cert-manager.io/inject-';

export interface WebhookBundlesOptions {
  readonly kube: Pick<KubeApi, 'get' | 'patch'>;
  /** Name of both configurations, the mutating and the validating one. */
  readonly configurationName: string;
  /** Webhooks that lead to another Service are left alone. */
  readonly services: { readonly namespace: string; readonly names: readonly string[] };
}

/** What every webhook of ours is to carry. */
export interface WantedBundle {
  /** PEM. */
  readonly pem: string;
  /** Of the webhooks of look-ahead, which have none in the manifests: only the API server may know it. */
  readonly lookAheadPath: string;
}

/** Names of the webhooks whose path is kept: at the submission of a Workflow, and when its controller writes it. */
export const LOOK_AHEAD_WEBHOOKS: readonly string[] = ['look-ahead.stepmemo.io', 'look-ahead-behind.stepmemo.io'];

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
          service: z.object({ namespace: z.string(), name: z.string(), path: z.string().nullish() }).nullish(),
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
  readonly path: string;
}

/**
 * Makes every webhook of ours carry what is wanted, where it does not yet, and returns what the API server has then. Where
 * nothing is wanted, and where cert-manager injects the bundle, it only reads.
 */
export async function keepWebhookBundles(
  options: WebhookBundlesOptions,
  wanted: WantedBundle | undefined,
): Promise<ReadBack> {
  const bundles: { webhook: string; pem: string }[] = [];
  for (const resource of [RESOURCES.mutatingWebhookConfigurations, RESOURCES.validatingWebhookConfigurations]) {
    const outcome = await keepOne(options, { resource, name: options.configurationName }, wanted);
    if (!outcome.ok) return outcome;
    bundles.push(...outcome.bundles);
  }
  return { ok: true, bundles };
}

async function keepOne(
  options: WebhookBundlesOptions,
  path: ObjectPath,
  wanted: WantedBundle | undefined,
): Promise<ReadBack> {
  const outcome = await retryOvertaken(
    () => tryOne(options, path, wanted),
    (one) => !one.ok && one.isRaceLost,
  );
  return outcome.ok ? outcome : { ok: false, message: `${path.resource.resource} ${path.name}: ${outcome.message}` };
}

type Attempt = (ReadBack & { ok: true }) | { ok: false; message: string; isRaceLost: boolean };

async function tryOne(
  options: WebhookBundlesOptions,
  path: ObjectPath,
  wanted: WantedBundle | undefined,
): Promise<Attempt> {
  const read = await options.kube.get(path);
  if (!read.ok) {
    return read.status === 404 ? { ok: true, bundles: [] } : { ok: false, message: read.message, isRaceLost: false };
  }
  const { places, resourceVersion, isInjected } = placesIn(read.value, options);
  if (wanted === undefined || isInjected) return { ok: true, bundles: places };
  const operations = places.flatMap((place) => operationsFor(place, wanted));
  if (operations.length === 0) return { ok: true, bundles: places };
  // The version is tested, since positions in the list count: it must not have changed in between.
  const test = { op: 'test' as const, path: '/metadata/resourceVersion', value: resourceVersion };
  const written = await options.kube.patch(path, [test, ...operations]);
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
    service?.namespace === options.services.namespace && options.services.names.includes(service.name);
  const places = (webhooks ?? []).flatMap(({ name, clientConfig }, index) =>
    isOurs(clientConfig.service)
      ? [
          {
            index,
            webhook: name,
            pem: Buffer.from(clientConfig.caBundle ?? '', 'base64').toString(),
            path: clientConfig.service?.path ?? '',
          },
        ]
      : [],
  );
  const isInjected = Object.keys(metadata.annotations ?? {}).some((key) => key.startsWith(INJECTOR_PREFIX));
  return { places, resourceVersion: metadata.resourceVersion, isInjected };
}

function operationsFor({ index, webhook, pem, path }: Place, wanted: WantedBundle): JsonPatch {
  const isPathKept = LOOK_AHEAD_WEBHOOKS.includes(webhook);
  const add = (value: string, ...member: readonly string[]): JsonPatchOperation => ({
    op: 'add',
    path: pointer('webhooks', index, 'clientConfig', ...member),
    value,
  });
  return [
    ...(isSameBundle(pem, wanted.pem) ? [] : [add(Buffer.from(wanted.pem).toString('base64'), 'caBundle')]),
    ...(isPathKept && path !== wanted.lookAheadPath ? [add(wanted.lookAheadPath, 'service', 'path')] : []),
  ];
}
