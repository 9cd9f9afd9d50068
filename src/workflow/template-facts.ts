import { type MemoizeReading, readMemoizeField } from '../argo/memoize-field.ts';
import type { WalkedTemplate } from '../argo/workflow-walk.ts';
import { type AnnotationsReading, readTemplateAnnotations } from './moved-memoize.ts';

/** What one template, or the defaults, ask for. */
export interface TemplateFacts {
  readonly walked: WalkedTemplate;
  readonly reading: MemoizeReading;
  readonly annotations: AnnotationsReading;
}

export function readFacts(walked: WalkedTemplate): TemplateFacts {
  return {
    walked,
    reading: readMemoizeField(walked.template),
    annotations: readTemplateAnnotations(walked.template),
  };
}
