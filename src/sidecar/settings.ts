import {
  SIDECAR_ENV,
  SIDECAR_MOUNTS_DIRECTORY,
  SIDECAR_TOKEN_DIRECTORY,
  SIDECAR_TOKEN_FILE,
  TERMINATION_LOG_PATH,
} from './command.ts';

/**
 * A quarter of a second. Argo's own `wait` looks for the exit code once a second, so the pod seldom waits for this program
 * at all.
 */
const DEADLINE_MS = 250;

/** All that the program is told. What has a default here can be given as an argument, to try the program outside a pod. */
export interface SidecarSettings {
  /** Argo's shared directory. */
  readonly root: string;
  readonly mountsDirectory: string;
  readonly tokenPath: string;
  readonly terminationLogPath: string;
  readonly url: URL;
  /** PEM, the only certificate authorities that are trusted. */
  readonly ca: string;
  readonly needsResult: boolean;
  /** How long the step's end may be held up, from the exit code's appearance on. */
  readonly deadlineMs: number;
}

export type SettingsReading =
  | { readonly ok: true; readonly settings: SidecarSettings }
  | { readonly ok: false; readonly message: string };

/** `args` are `--root=…`, `--mounts=…`, `--token=…`, `--termination-log=…` and `--deadline-ms=…`. */
export function readSettings(
  env: Readonly<Record<string, string | undefined>>,
  args: readonly string[],
): SettingsReading {
  const url = URL.parse(env[SIDECAR_ENV.url] ?? '');
  if (url?.protocol !== 'https:') return { ok: false, message: `${SIDECAR_ENV.url} is no https URL` };
  const ca = env[SIDECAR_ENV.ca] ?? '';
  // Without one, Node would trust all the world's authorities instead of none.
  if (!ca.includes('BEGIN CERTIFICATE')) return { ok: false, message: `${SIDECAR_ENV.ca} holds no certificate` };
  const argument = (name: string, fallback: string): string =>
    args.find((text) => text.startsWith(`--${name}=`))?.slice(name.length + 3) ?? fallback;
  return {
    ok: true,
    settings: {
      root: argument('root', '/var/run/argo'),
      mountsDirectory: argument('mounts', SIDECAR_MOUNTS_DIRECTORY),
      tokenPath: argument('token', `${SIDECAR_TOKEN_DIRECTORY}/${SIDECAR_TOKEN_FILE}`),
      terminationLogPath: argument('termination-log', TERMINATION_LOG_PATH),
      url,
      ca,
      needsResult: env[SIDECAR_ENV.needsResult] === 'true',
      deadlineMs: Number(argument('deadline-ms', String(DEADLINE_MS))),
    },
  };
}
