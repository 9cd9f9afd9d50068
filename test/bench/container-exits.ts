import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** When containers ended, Unix milliseconds, by their ID: from containerd's events, for statuses know whole seconds alone. */
export interface ContainerExits {
  readonly exits: ReadonlyMap<string, number>;
  stop(): void;
}

/** Listens to containerd by `ctr events` at that socket. */
export function watchContainerExits(socket: string): ContainerExits {
  const exits = new Map<string, number>();
  const child = spawn('ctr', ['--address', socket, '--namespace', 'k8s.io', 'events'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  child.on('error', (error) => console.error(`ctr: ${error.message}`));
  createInterface({ input: child.stdout }).on('line', (line) => {
    const parts = /^(\S+) (\S+) \S+ UTC \S+ \/tasks\/exit (\{.*\})$/.exec(line);
    if (!parts) return;
    const { container_id: container, id } = JSON.parse(parts[3] ?? '{}') as { container_id?: string; id?: string };
    // An exec in the container has an ID of its own.
    if (container === undefined || id !== container) return;
    exits.set(container, Date.parse(`${parts[1]}T${parts[2]?.slice(0, 12)}Z`));
  });
  return { exits, stop: () => void child.kill() };
}
