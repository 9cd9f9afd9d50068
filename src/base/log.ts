import { type Logger, pino } from 'pino';

export type Log = Logger;

/**
 * The log of one process: JSON lines on standard error, so that a command's output stays its own. What must never be
 * printed is cut out here as well, should a caller forget: tokens, Secrets and outputs.
 */
export function createLog(level: string): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: ['token', '*.token', 'outputs', '*.outputs', 'authorization', '*.authorization', '*.data'],
        remove: true,
      },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
