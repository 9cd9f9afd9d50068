/** One `valueFrom.path` parameter, and where its value can be read. */
export interface DeclaredParameter {
  readonly name: string;
  readonly path: string;
  /** In a volume of main: then main made no copy of the file, and the volume itself is mounted here. */
  readonly isMounted: boolean;
  /** `valueFrom.default`, taken where there is no file. */
  readonly default?: string;
}

/** What the program needs to know of the step's template. */
export interface SidecarTemplate {
  /** The containers whose ends are the step's end: `main`, or the members of a containerSet. */
  readonly mains: readonly string[];
  readonly parameters: readonly DeclaredParameter[];
}

type Json = Record<string, unknown>;

/** A container's name (RFC 1123 label), which becomes a part of a path. */
const CONTAINER_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/**
 * Reads the text of /var/run/argo/template. Argo's init container (or supervisor) writes it before main starts, but main
 * can replace it, so nothing in it is taken for granted. `no-json` may just be half written.
 *
 * The mains are those of pkg/apis/workflow/v1alpha1/workflow_types.go:GetMainContainerNames.
 */
export function readSidecarTemplate(text: string): SidecarTemplate | 'no-json' | 'no-template' {
  const json = parseJson(text);
  if (json === undefined) return 'no-json';
  const template = asObject(json);
  if (!template) return 'no-template';
  const mains = readMains(template);
  if (mains.length === 0 || !mains.every((name) => CONTAINER_NAME.test(name))) return 'no-template';
  const mounts = readMountPaths(template);
  const parameters: DeclaredParameter[] = [];
  for (const item of asArray(asObject(template.outputs)?.parameters)) {
    const parameter = readParameter(item, mounts);
    if (parameter) parameters.push(parameter);
  }
  return { mains, parameters };
}

function readMains(template: Json): string[] {
  const set = asObject(template.containerSet);
  if (!set) return ['main'];
  return asArray(set.containers).map((container) => {
    const name = asObject(container)?.name;
    return typeof name === 'string' ? name : '';
  });
}

/** Mounts that the template itself declares (workflow_types.go:GetVolumeMounts). */
function readMountPaths(template: Json): string[] {
  const body = asObject(template.container) ?? asObject(template.script) ?? asObject(template.containerSet);
  return asArray(body?.volumeMounts)
    .map((mount) => asObject(mount)?.mountPath)
    .filter((path) => typeof path === 'string')
    .map((path) => path.replace(/\/+$/, ''));
}

/** Parameters by expression, jsonPath or `supplied` have no file: Argo gets at their values elsewhere. */
function readParameter(item: unknown, mounts: readonly string[]): DeclaredParameter | undefined {
  const parameter = asObject(item);
  const source = asObject(parameter?.valueFrom);
  const path = source?.path;
  if (typeof parameter?.name !== 'string' || typeof path !== 'string' || path === '') return undefined;
  // As workflow/common/util.go:FindOverlappingVolume compares them.
  const isMounted = mounts.some((mount) => path === mount || path.startsWith(`${mount}/`));
  const fallback = source?.default;
  const hasDefault = ['string', 'number', 'boolean'].includes(typeof fallback);
  return { name: parameter.name, path, isMounted, ...(hasDefault && { default: String(fallback) }) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
