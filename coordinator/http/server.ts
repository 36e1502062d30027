/** The HTTP face: /metrics for Prometheus, /healthz (the process lives), /readyz (it takes work), and studies and fronts as JSON. */
import Fastify from 'fastify';
import { portError } from '../grpc/server.js';
import type { Services } from '../services.js';
import { addApi } from './api.js';

export interface HttpFace {
  readonly port: number;
  setReady(ready: boolean): void;
  stop(): Promise<void>;
}

export async function startHttp(services: Services): Promise<HttpFace> {
  let ready = false;
  const app = Fastify({ logger: false, forceCloseConnections: true });
  app.get('/metrics', async (_request, reply) => {
    const text = await services.metrics.registry.metrics();
    return reply.type(services.metrics.registry.contentType).send(text);
  });
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready' }));
  addApi(app, services);
  const separator = services.config.http.lastIndexOf(':');
  const host = services.config.http.slice(0, separator).replace(/^\[|\]$/g, '');
  try {
    await app.listen({ host, port: Number(services.config.http.slice(separator + 1)) });
  } catch (error) {
    throw portError(error, services.config.http);
  }
  const address = app.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    setReady: (value) => {
      ready = value;
    },
    stop: () => app.close(),
  };
}
