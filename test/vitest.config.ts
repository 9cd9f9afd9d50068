import { defineConfig } from 'vitest/config';

// Projects by what they need: nothing, an API server, a whole cluster, a whole cluster to themselves.
/** What takes long, or another API server, is run when it is asked for, each by a target of the Makefile. */
const { SCALE, ARGO_EXAMPLES, GENERATED, PREVIOUS, OUTAGE, K8S = '' } = process.env;
const onRequest = [
  { file: 'test/integration/scale.test.ts', isAsked: SCALE === '1' },
  { file: 'test/integration/move-policy.test.ts', isAsked: Number(K8S.split('.')[1]) >= 36 },
  { file: 'test/e2e/argo-examples.test.ts', isAsked: (ARGO_EXAMPLES ?? '') !== '' },
  { file: 'test/e2e/generated.test.ts', isAsked: (GENERATED ?? '') !== '' },
  { file: 'test/e2e/upgrade.test.ts', isAsked: (PREVIOUS ?? '') !== '' },
  { file: 'test/e2e/outage.test.ts', isAsked: OUTAGE === '1' },
];
const exclude = onRequest.filter(({ isAsked }) => !isAsked).map(({ file }) => file);

/** Files that leave the server and the workflow controller as they are, each in namespaces of its own. */
const SIDE_BY_SIDE = [
  'coexist',
  'endings',
  'examples',
  'forgeries',
  'look-ahead',
  'native',
  'steps',
  'submissions',
].map((name) => `test/e2e/${name}.test.ts`);

const e2e = {
  // A real kubelet on a busy machine: what fails twice in a row is broken, once may be its image pull or its clock.
  retry: 1,
  testTimeout: 300_000,
  hookTimeout: 600_000,
  globalSetup: ['test/e2e/global-setup.ts'],
};

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    // Many tests start the program anew, from its sources: half of its start is compiling them.
    env: { NODE_COMPILE_CACHE: new URL('../node_modules/.cache/node', import.meta.url).pathname },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/golden/**/*.test.ts'],
          setupFiles: ['test/unit/fast-check.setup.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          exclude,
          // They share one API server, and what is installed in it.
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 120_000,
          globalSetup: ['test/integration/global-setup.ts'],
        },
      },
      {
        extends: true,
        test: {
          ...e2e,
          name: 'e2e',
          include: SIDE_BY_SIDE,
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          ...e2e,
          name: 'e2e-alone',
          include: ['test/e2e/**/*.test.ts'],
          exclude: [...exclude, ...SIDE_BY_SIDE],
          fileParallelism: false,
        },
      },
    ],
  },
});
