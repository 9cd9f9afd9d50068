import type { Place } from '../argo/workflow-walk.ts';
import type { Breach } from './breach.ts';
import type { PolicyContext } from './context.ts';
import type { Finding } from './finding.ts';
import { type Severity, severityOf } from './settings.ts';

export interface Collector {
  /** `reference` is where the object names the template, when it is another object's. */
  add(found: Breach, subject: string, reference: Place | undefined): void;
  findings(): readonly Finding[];
}

/**
 * Gathers findings: gives each its severity, drops what is switched off, and says a thing about one field once, however
 * many templates share it. A finding in another object is reported only where it denies, at the field that names it: its
 * warnings are for whoever writes that object.
 */
export function createCollector(context: PolicyContext): Collector {
  const findings = new Map<string, Finding>();
  return {
    findings: () => [...findings.values()],
    add: ({ rule, spot, message, fix, detail = '', atMost }, subject, reference) => {
      const severity = atMostOf(severityOf(rule, context.settings, context.namespace), atMost);
      if (severity === 'off' || (spot.via !== undefined && severity !== 'deny')) return;
      // A path has no line breaks: names that need quotes are quoted in it.
      const id = `${rule}\n${spot.place.path}\n${spot.via ?? ''}\n${detail}`;
      if (findings.has(id)) return;
      const finding = { rule, severity, fix, subject, detail };
      if (spot.via === undefined) {
        findings.set(id, { ...finding, ...placeOf(spot.place), message });
        return;
      }
      const origin = { object: spot.via, path: spot.place.path };
      const told = `${origin.object}, ${origin.path}: ${message}`;
      findings.set(id, { ...finding, ...placeOf(reference ?? spot.place), message: told, origin });
    },
  };
}

function placeOf({ path, pointer }: Place): Place {
  return { path, pointer };
}

function atMostOf(severity: Severity, limit: Severity | undefined): Severity {
  return severity === 'deny' && limit === 'warn' ? 'warn' : severity;
}
