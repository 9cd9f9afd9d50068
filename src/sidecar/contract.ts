/**
 * What server and sidecar agree on: the settings in the container's environment, and what is posted. Raised with each change of
 * either; sidecars of the version before are understood.
 */
export const CONTRACT_VERSION = '1';
export const CONTRACT_HEADER = 'stepmemo-contract';
