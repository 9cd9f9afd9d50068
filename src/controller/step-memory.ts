import { SharedMemory, sizeOfValue } from '../base/shared-memory.ts';

/** Most memory for what is held of steps, in bytes: enough for 10,000 of the usual kind. */
export const STEPS_LIMIT_BYTES = 64 * 1024 * 1024;

/** The large parts of pods and task results, shared out between namespaces. */
export type StepMemory = SharedMemory<Held<unknown>>;

export function createStepMemory(limitBytes = STEPS_LIMIT_BYTES): StepMemory {
  return new SharedMemory(limitBytes, (_, __, held) => held.letGo());
}

/**
 * A value that is held while there is memory for it; whoever needs it later reads it again. The watch, the table and the memory
 * have the same one, so that it is gone for all of them.
 */
export class Held<T> {
  #value: T | undefined;
  #isLetGo = false;

  constructor(value: T) {
    this.#value = value;
  }

  /** Roughly what it takes. Counted when it is asked for: most of what a watch tells of is dropped before. */
  get bytes(): number {
    return sizeOfValue(this.#value);
  }

  get value(): T | undefined {
    return this.#value;
  }

  get isLetGo(): boolean {
    return this.#isLetGo;
  }

  letGo(): void {
    this.#value = undefined;
    this.#isLetGo = true;
  }
}
