import { describe, expect, it } from 'vitest';
import {
  FORGIVEN_EXIT_CODES,
  NODE_PATH,
  SIDECAR_COMMAND,
  SIDECAR_NODE_FLAGS,
  SIDECAR_PROGRAM_PATH,
  TINI_PATH,
} from '../../../src/sidecar/command.ts';

describe('the command of the sidecar', () => {
  it('puts something before Node that turns its exit codes into 0', () => {
    const end = SIDECAR_COMMAND.indexOf('--');
    expect(SIDECAR_COMMAND.slice(0, end)).toEqual([TINI_PATH, ...FORGIVEN_EXIT_CODES.map((code) => `-e${code}`)]);
    expect(SIDECAR_COMMAND.slice(end + 1)).toEqual([NODE_PATH, ...SIDECAR_NODE_FLAGS, SIDECAR_PROGRAM_PATH]);
  });

  // 1 uncaught error, 126 and 127 not to be started, 134 V8 gave up, 137 killed for memory, 139 crashed, 143 SIGTERM too early
  it.each([1, 126, 127, 134, 137, 139, 143])('forgives %i', (code) => {
    expect(FORGIVEN_EXIT_CODES).toContain(code);
  });
});
