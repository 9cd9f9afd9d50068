import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { afterAll } from 'vitest';
import { pointServiceAt } from './harness.ts';

/** What the tests look at of a review. */
export interface SeenReview {
  readonly path: string;
  readonly request: {
    readonly uid: string;
    readonly kind: { readonly kind: string };
    readonly operation: string;
    readonly namespace?: string;
    readonly object: { readonly metadata: { readonly name?: string } };
  };
}

export interface ReviewServer {
  readonly server: Server;
  readonly port: number;
  readonly seen: SeenReview[];
}

const servers: Server[] = [];

/**
 * Stands in for stepmemo where the question is what the API server sends, and whether its calls arrive: allows
 * everything with the warning `seen PATH`, and keeps the reviews. The Service then leads to it.
 */
export async function startReviewServer(tls: SecureContextOptions): Promise<ReviewServer> {
  const seen: SeenReview[] = [];
  const server = createServer(tls, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(chunks).toString()) as Omit<SeenReview, 'path'>;
      const path = request.url?.split('?')[0] ?? '';
      seen.push({ ...review, path });
      response.setHeader('content-type', 'application/json');
      // Each call makes a connection of its own: one that is kept would not show a new certificate.
      response.setHeader('connection', 'close');
      response.end(
        JSON.stringify({
          apiVersion: 'admission.k8s.io/v1',
          kind: 'AdmissionReview',
          response: { uid: review.request.uid, allowed: true, warnings: [`seen ${path}`] },
        }),
      );
    });
  });
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  servers.push(server);
  const { port } = server.address() as AddressInfo;
  await pointServiceAt([{ webhookPort: port, capturePort: port }]);
  return { server, port, seen };
}

afterAll(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});
