/**
 * How the injected container is started and what it finds: the contract between the pod patch, the image and the
 * program in src/sidecar. No import here: the program is bundled with this file and must stay small.
 */

/** Environment of the container, set at injection. */
export const SIDECAR_ENV = {
  /** Base URL of the capture endpoint, say `https://stepmemo.stepmemo.svc:8444`. */
  url: 'STEPMEMO_CAPTURE_URL',
  /** PEM of the certificate authorities that the endpoint's certificate may come from; the only ones trusted. */
  ca: 'STEPMEMO_CAPTURE_CA',
  /** `true` where the step has to report `outputs.result`. */
  needsResult: 'STEPMEMO_NEEDS_RESULT',
} as const;

/** Where the projected token (audience `stepmemo`) is mounted, and its file there. */
export const SIDECAR_TOKEN_DIRECTORY = '/var/run/secrets/stepmemo.io';
export const SIDECAR_TOKEN_FILE = 'token';

/**
 * Where the program leaves its last word: the digest of what it read. The kubelet, and nobody else, shows it in the pod's status
 * (`state.terminated.message`), also where no replica took the outputs in time.
 */
export const TERMINATION_LOG_PATH = '/dev/termination-log';

/**
 * Mounts of main that hold a declared output parameter appear below this, read-only, as they do for Argo's own `wait`
 * (workflow/common/common.go:ExecutorMainFilesystemDir): `/work` at `/mainctrfs/work`.
 */
export const SIDECAR_MOUNTS_DIRECTORY = '/mainctrfs';

/** Where the image has its programs. */
export const TINI_PATH = '/usr/bin/tini-static';
export const NODE_PATH = '/nodejs/bin/node';
export const SIDECAR_PROGRAM_PATH = '/app/capture.mjs';

/**
 * Flags of Node: a small heap, since the program holds a few megabytes at most; no compiler and no helper threads,
 * which would cost more memory than they save time; SIGUSR1 opens no debugger.
 */
export const SIDECAR_NODE_FLAGS: readonly string[] = [
  '--max-old-space-size=24',
  '--max-semi-space-size=1',
  '--v8-pool-size=0',
  '--jitless',
  '--disable-sigusr1',
];

/**
 * Every code that Node can end with: its own (1 to 14), those of a program that could not be started (126, 127), and
 * those of a process ended by a signal (128 + n): 134 when V8 gives up, 137 when memory ran out. Each one becomes 0, for
 * any other makes the pod Failed, and with it the step.
 */
export const FORGIVEN_EXIT_CODES: readonly number[] = [...range(1, 14), 126, 127, ...range(129, 159)];

/** The command of the container, whole. `tini -e` (once a code) turns an exit code into 0. */
export const SIDECAR_COMMAND: readonly string[] = [
  TINI_PATH,
  ...FORGIVEN_EXIT_CODES.map((code) => `-e${code}`),
  '--',
  NODE_PATH,
  ...SIDECAR_NODE_FLAGS,
  SIDECAR_PROGRAM_PATH,
];

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
