import { bodiesBytes } from './admission/body-budget.ts';
import { DEFAULT_LIMIT_BYTES } from './cache/cache-index.ts';
import { CONFIG_MAP_LIMIT_BYTES } from './cache/config-map.ts';
import type { Config } from './config/config.ts';
import { STEPS_LIMIT_BYTES } from './controller/step-memory.ts';
import { PAGE_LIMIT } from './informers/watch-caches.ts';

const MIB = 1024 * 1024;
/** Of the container's memory: the rest is for what the runtime needs to collect garbage in time. */
const MOST_SHARE = 0.7;
/** A replica with nothing to do, measured after its start. */
const IDLE_BYTES = 110 * MIB;
/** JSON takes about this much more once it is parsed. */
const PARSED = 2;

/** Everything that grows with what others do, and the most that each may take, in bytes. */
export function memoryBounds(config: Pick<Config, 'bodyLimitBytes' | 'captureTotalLimitBytes'>) {
  return {
    idle: IDLE_BYTES,
    caches: DEFAULT_LIMIT_BYTES,
    pageOfCaches: PAGE_LIMIT * CONFIG_MAP_LIMIT_BYTES * PARSED,
    steps: STEPS_LIMIT_BYTES,
    heldOutputs: config.captureTotalLimitBytes,
    bodies: bodiesBytes(config.bodyLimitBytes) * PARSED,
  };
}

/** What is wrong with the container's memory limit, as a sentence; undefined where it is enough, or there is none. */
export function judgeMemory(
  config: Pick<Config, 'bodyLimitBytes' | 'captureTotalLimitBytes'>,
  limitBytes: number | undefined,
): string | undefined {
  const bounds = memoryBounds(config);
  const sum = Object.values(bounds).reduce((total, bytes) => total + bytes, 0);
  if (limitBytes === undefined || limitBytes === 0 || sum <= limitBytes * MOST_SHARE) return undefined;
  const parts = Object.entries(bounds).map(([name, bytes]) => `${name} ${Math.round(bytes / MIB)} MiB`);
  const wanted = Math.ceil(sum / MOST_SHARE / MIB);
  return (
    `the memory limit of ${Math.round(limitBytes / MIB)} MiB may not be enough: ${parts.join(', ')}; ` +
    `set it to ${wanted} MiB, or bodyLimitBytes and captureTotalLimitBytes lower`
  );
}
