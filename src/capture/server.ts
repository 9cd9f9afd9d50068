import type { RequestListener } from 'node:http';
import { createServer, type Server, type ServerOptions } from 'node:https';

/**
 * The TLS server of the capture endpoint. Every pod of the cluster can reach its port, so it gives no caller much time and
 * no caller much room; a sidecar needs some milliseconds. (No keep-alive: each answer closes its connection.)
 */
export function createCaptureServer(tls: ServerOptions, listener: RequestListener): Server {
  const server = createServer(
    {
      ...tls,
      minVersion: 'TLSv1.2',
      handshakeTimeout: 5_000,
      headersTimeout: 5_000,
      requestTimeout: 10_000,
      keepAliveTimeout: 1_000,
      // How often the two timeouts above are looked after.
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 16 * 1024,
    },
    listener,
  );
  server.maxConnections = 512;
  server.maxHeadersCount = 32;
  return server;
}
