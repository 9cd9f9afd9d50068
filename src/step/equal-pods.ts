import { asObject, deepEqual, isObject, type JsonObject, objectsOf } from '../base/json.ts';
import { isSameQuantity } from '../base/quantity.ts';

/**
 * Whether an object holds all that is wanted: members that the API server or another webhook has added do not matter,
 * list elements are compared in order.
 */
export function coversJson(actual: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(actual) &&
      actual.length === wanted.length &&
      wanted.every((element, index) => coversJson(actual[index], element))
    );
  }
  if (!isObject(wanted)) return deepEqual(actual, wanted);
  return isObject(actual) && Object.entries(wanted).every(([name, value]) => coversJson(actual[name], value));
}

/** Whether each wanted element is in the list, found by the member that its kind is merged by; others may be there too. */
function coversByKey(actual: unknown, wanted: unknown, key: string): boolean {
  const present = objectsOf(actual);
  return objectsOf(wanted).every((element) => {
    const found = present.filter((candidate) => candidate[key] === element[key]);
    return found.length === 1 && coversValue(found[0], element);
  });
}

/** An empty value is what the API server leaves out. */
function coversValue(actual: unknown, wanted: unknown): boolean {
  const written = Object.entries(asObject(wanted)).filter(([, value]) => value !== '');
  return coversJson(actual, Object.fromEntries(written));
}

function coversQuantities(actual: unknown, wanted: unknown): boolean {
  const amounts = asObject(actual);
  return Object.entries(asObject(wanted)).every(([name, amount]) => isSameQuantity(amounts[name], amount));
}

/**
 * Whether a container in a pod is the wanted one, after defaulting and after other webhooks: environment and mounts may
 * have been added (a service account's token, a proxy's variables), quantities may be written differently, `args` and a
 * lifecycle hook may not appear, for they change what runs.
 */
export function coversContainer(actual: JsonObject, wanted: JsonObject): boolean {
  const { env, volumeMounts, resources, ...others } = wanted;
  const wantedResources = asObject(resources);
  const actualResources = asObject(actual.resources);
  return (
    actual.args === undefined &&
    actual.lifecycle === undefined &&
    coversJson(actual, others) &&
    coversByKey(actual.env, env, 'name') &&
    coversByKey(actual.volumeMounts, volumeMounts, 'mountPath') &&
    coversQuantities(actualResources.requests, wantedResources.requests) &&
    coversQuantities(actualResources.limits, wantedResources.limits)
  );
}
