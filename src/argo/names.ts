/**
 * Names that Argo Workflows gives to things. They are its contract with us, so they live in one place.
 * Source: workflow/common/common.go and workflow/controller/workflowpod.go of argo-workflows, 3.4 to 4.1.
 */
export const WORKFLOW_LABEL = 'workflows.argoproj.io/workflow';
/** Selects everything in a namespace but step pods, of which there may be thousands. */
export const NO_STEP_PODS = `!${WORKFLOW_LABEL}`;
export const COMPLETED_LABEL = 'workflows.argoproj.io/completed';
export const COMPONENT_LABEL = 'workflows.argoproj.io/component';
export const INSTANCE_ID_LABEL = 'workflows.argoproj.io/controller-instanceid';
export const REPORT_OUTPUTS_COMPLETED_LABEL = 'workflows.argoproj.io/report-outputs-completed';
export const NODE_ID_ANNOTATION = 'workflows.argoproj.io/node-id';
export const NODE_NAME_ANNOTATION = 'workflows.argoproj.io/node-name';
/** Outputs on the pod itself: read by Argo up to 3.5.15, gone in 3.6.0. */
export const OUTPUTS_ANNOTATION = 'workflows.argoproj.io/outputs';

/** A ConfigMap is a cache only with this label and this value (since 3.4.9 and 3.5.0). */
export const CACHE_LABEL = 'workflows.argoproj.io/configmap-type';
export const CACHE_LABEL_VALUE = 'Cache';

export const ARGO_API_GROUP = 'argoproj.io';
export const ARGO_API_VERSION = 'argoproj.io/v1alpha1';

export const MAIN_CONTAINER = 'main';
export const WAIT_CONTAINER = 'wait';
export const SUPERVISOR_CONTAINER = 'supervisor';
export const INIT_CONTAINER = 'init';

export const TEMPLATE_ENV = 'ARGO_TEMPLATE';
/** The value of ARGO_TEMPLATE when the text is too long for the environment (3.6 and later). */
export const TEMPLATE_OFFLOADED = 'offloaded';
export const NODE_ID_ENV = 'ARGO_NODE_ID';
export const INCLUDE_SCRIPT_OUTPUT_ENV = 'ARGO_INCLUDE_SCRIPT_OUTPUT';

/** Where Argo's containers of one pod share files, and the volume that is mounted there. */
export const VAR_RUN_ARGO_PATH = '/var/run/argo';
export const VAR_RUN_ARGO_VOLUME = 'var-run-argo';
