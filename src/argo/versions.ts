import { asObject, type JsonObject, objectsOf } from '../base/json.ts';

/** A release of Argo Workflows. Pre-releases count as the release they lead to. */
export interface ArgoVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

const VERSION = /^v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:[-+.].*)?$/;

/** Reads `4.0.5`, `v3.4.17`, `v3.5.0-rc1`. Anything else (`latest`, a digest, `4.0`) is undefined: never guessed. */
export function parseArgoVersion(text: string): ArgoVersion | undefined {
  const match = VERSION.exec(text.trim());
  if (match === null) return undefined;
  return { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3]) };
}

/** Negative when `a` is older than `b`, 0 when equal. */
export function compareVersions(a: ArgoVersion, b: ArgoVersion): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch;
}

export type VersionParts = readonly [major: number, minor: number, patch: number];

export function versionFrom(...[major, minor, patch]: VersionParts): ArgoVersion {
  return { major, minor, patch };
}

export function isOlderThan(version: ArgoVersion, ...parts: VersionParts): boolean {
  return compareVersions(version, versionFrom(...parts)) < 0;
}

export function formatVersion(version: ArgoVersion): string {
  return `${version.major}.${version.minor}.${version.patch}`;
}

/**
 * Whether `steps` templates save their outputs as null: 3.5.2 to 3.7.17 (every 3.6 among them) and 4.0.0 to 4.0.8
 * (argoproj/argo-workflows#16094).
 */
export function losesStepsOutputs(version: ArgoVersion): boolean {
  if (version.major === 3) return !isOlderThan(version, 3, 5, 2) && isOlderThan(version, 3, 7, 18);
  return version.major === 4 && isOlderThan(version, 4, 0, 9);
}

/**
 * Whether steps that follow on a containerSet all hang on its last containers (operator.go:getOutboundNodes, since 3.5.9): before,
 * only the first of them did, and the others on that one.
 */
export function linksContainers(version: ArgoVersion): boolean {
  return !isOlderThan(version, 3, 5, 9);
}

/** The tag of an image reference: what follows the last `:` of its last part, without a digest. */
export function imageTag(image: string): string | undefined {
  const withoutDigest = image.split('@', 1)[0] ?? '';
  const last = withoutDigest.slice(withoutDigest.lastIndexOf('/') + 1);
  const colon = last.indexOf(':');
  return colon === -1 ? undefined : last.slice(colon + 1);
}

/** The last part of an image's repository: `workflow-controller` of `quay.io/argoproj/workflow-controller:v4.0.5`. */
export function imageName(image: string): string {
  const withoutDigest = image.split('@', 1)[0] ?? '';
  const last = withoutDigest.slice(withoutDigest.lastIndexOf('/') + 1);
  return last.split(':', 1)[0] ?? '';
}

export type VersionReading =
  | { readonly known: true; readonly version: ArgoVersion }
  | { readonly known: false; readonly detail: string };

/**
 * The version of the running workflow controllers by their images (`pods` are those of the controller's namespace).
 * Several controllers that differ make it unknown, as do images without a version in their tag.
 */
export function versionOfControllers(pods: readonly unknown[]): VersionReading {
  const images = new Set(controllerContainers(pods).map(({ image }) => String(image)));
  if (images.size === 0) return { known: false, detail: 'no workflow controller was found' };
  const versions = new Map<string, ArgoVersion>();
  for (const image of images) {
    const version = parseArgoVersion(imageTag(image) ?? '');
    if (version === undefined) return { known: false, detail: `the image ${image} has no version in its tag` };
    versions.set(formatVersion(version), version);
  }
  const [first, ...others] = versions.values();
  if (first === undefined || others.length > 0) {
    return { known: false, detail: `workflow controllers of several versions run: ${[...versions.keys()].join(', ')}` };
  }
  return { known: true, version: first };
}

/** The containers of running workflow controllers among these pods. */
export function controllerContainers(pods: readonly unknown[]): readonly JsonObject[] {
  return pods.flatMap((pod) => {
    const { status, spec } = asObject(pod);
    const { phase } = asObject(status);
    const isOver = phase === 'Succeeded' || phase === 'Failed';
    return isOver ? [] : objectsOf(asObject(spec).containers).filter(isController);
  });
}

/** By the container's name, its image or its command, as the shipped manifests and the Helm chart have them. */
function isController({ name, image, command }: JsonObject): boolean {
  if (typeof image !== 'string') return false;
  if (name === 'workflow-controller' || imageName(image) === 'workflow-controller') return true;
  return Array.isArray(command) && typeof command[0] === 'string' && command[0].endsWith('workflow-controller');
}
