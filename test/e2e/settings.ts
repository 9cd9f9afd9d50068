/** The version of Argo Workflows that the suite runs against. */
export const argoVersion = process.env.ARGO ?? '4.0.5';

/** State of the local cluster; see cluster/README.md. */
export const runFolder = process.env.STEPMEMO_RUN ?? '/tmp/stepmemo';
