import { z } from 'zod';
import type { KubeObject } from '../kube/types.ts';

/** What a ConfigMap may hold: bytes of all values, keys not counted (pkg/apis/core/validation:ValidateConfigMap). */
export const CONFIG_MAP_LIMIT_BYTES = 1024 * 1024;

/** The object itself, not a copy: z.record leaves a key `__proto__` out, which a ConfigMap may well have. */
const dataSchema = z.custom<Readonly<Record<string, string>>>(
  (value) =>
    typeof value === 'object' && value !== null && Object.values(value).every((text) => typeof text === 'string'),
);

/** The two maps of a ConfigMap; undefined where the API server left an empty one out. */
export interface ConfigMapContent {
  readonly data: Readonly<Record<string, string>> | undefined;
  /** Values in base64. */
  readonly binaryData: Readonly<Record<string, string>> | undefined;
}

export function readConfigMap(configMap: KubeObject): ConfigMapContent {
  const data = dataSchema.safeParse(configMap.data);
  const binaryData = dataSchema.safeParse(configMap.binaryData);
  return {
    data: data.success ? data.data : undefined,
    binaryData: binaryData.success ? binaryData.data : undefined,
  };
}

/** Bytes that a ConfigMap's values take, as the API server counts them. */
export function sizeOf(content: ConfigMapContent): number {
  let bytes = 0;
  for (const value of Object.values(content.data ?? {})) bytes += Buffer.byteLength(value, 'utf8');
  for (const value of Object.values(content.binaryData ?? {})) bytes += decodedBytes(value);
  return bytes;
}

/** Length of what base64 text stands for. */
export function decodedBytes(base64: string): number {
  return Buffer.byteLength(base64, 'base64');
}

/** A value by its key. A key may well be `constructor`, which every object seems to have. */
export function readKey(map: Readonly<Record<string, string>> | undefined, key: string): string | undefined {
  return map !== undefined && Object.hasOwn(map, key) ? map[key] : undefined;
}
