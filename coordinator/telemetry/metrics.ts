/** Everything Prometheus sees. Labels are closed sets: never a round, contributor or model name. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export interface Metrics {
  readonly registry: Registry;
  readonly receivedBytes: Counter;
  readonly deduplicatedBytes: Counter;
  readonly servedBytes: Counter;
  readonly chunks: Counter<'result'>;
  readonly transfers: Counter<'result'>;
  readonly openWriteStreams: Gauge;
  readonly mergeSeconds: Histogram<'result'>;
  readonly mergeReadBytes: Counter;
  readonly mergeWrittenBytes: Counter;
  readonly evaluations: Counter<'result'>;
  readonly leaseExpirations: Counter;
  readonly fitSeconds: Histogram;
  readonly querySeconds: Histogram<'kind'>;
  readonly rpcs: Histogram<'method' | 'status'>;
}

export interface StateCounts {
  rounds(): { state: string; count: number }[];
  contributions(): { status: string; count: number }[];
  studies(): { state: string; count: number }[];
  leases(): number;
}

export function createMetrics(counts: StateCounts): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: 'tributary_' });
  const rounds: Gauge<'state'> = new Gauge({
    name: 'tributary_rounds',
    help: 'Rounds by state.',
    labelNames: ['state'],
    registers,
    collect() {
      rounds.reset();
      for (const { state, count } of counts.rounds()) rounds.set({ state }, count);
    },
  });
  const contributions: Gauge<'status'> = new Gauge({
    name: 'tributary_contributions',
    help: 'Contributions by status.',
    labelNames: ['status'],
    registers,
    collect() {
      contributions.reset();
      for (const { status, count } of counts.contributions()) contributions.set({ status }, count);
    },
  });
  const studies: Gauge<'state'> = new Gauge({
    name: 'tributary_studies',
    help: 'Studies by state.',
    labelNames: ['state'],
    registers,
    collect() {
      studies.reset();
      for (const { state, count } of counts.studies()) studies.set({ state }, count);
    },
  });
  const leases: Gauge = new Gauge({
    name: 'tributary_leases',
    help: 'Measurements that agents hold now.',
    registers,
    collect() {
      leases.set(counts.leases());
    },
  });
  return {
    registry,
    receivedBytes: new Counter({ name: 'tributary_received_bytes_total', help: 'Chunk bytes received.', registers }),
    deduplicatedBytes: new Counter({
      name: 'tributary_deduplicated_bytes_total',
      help: 'Bytes of uploads that did not have to be sent because the coordinator had them.',
      registers,
    }),
    servedBytes: new Counter({ name: 'tributary_served_bytes_total', help: 'Bytes of models downloaded from here.', registers }),
    chunks: new Counter({ name: 'tributary_chunks_total', help: 'Chunks received.', labelNames: ['result'], registers }),
    transfers: new Counter({ name: 'tributary_transfers_total', help: 'Uploads by how they ended.', labelNames: ['result'], registers }),
    openWriteStreams: new Gauge({ name: 'tributary_open_write_streams', help: 'Write streams open now.', registers }),
    mergeSeconds: new Histogram({
      name: 'tributary_merge_seconds',
      help: 'Duration of merges.',
      labelNames: ['result'],
      buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600],
      registers,
    }),
    mergeReadBytes: new Counter({ name: 'tributary_merge_read_bytes_total', help: 'Bytes of weights read by merges.', registers }),
    mergeWrittenBytes: new Counter({ name: 'tributary_merge_written_bytes_total', help: 'Bytes of weights written by merges.', registers }),
    evaluations: new Counter({
      name: 'tributary_evaluations_total',
      help: 'Reports of agents by what became of them.',
      labelNames: ['result'],
      registers,
    }),
    leaseExpirations: new Counter({
      name: 'tributary_lease_expirations_total',
      help: 'Measurements handed out again because their agent was silent.',
      registers,
    }),
    fitSeconds: new Histogram({
      name: 'tributary_fit_seconds',
      help: 'Duration of fits: surrogates and front.',
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
      registers,
    }),
    querySeconds: new Histogram({
      name: 'tributary_query_seconds',
      help: 'Time to answer questions about a front, without the line.',
      labelNames: ['kind'],
      buckets: [0.00001, 0.0001, 0.001, 0.005, 0.025, 0.1, 1],
      registers,
    }),
    rpcs: new Histogram({
      name: 'tributary_rpc_seconds',
      help: 'Duration of gRPC calls, streams included.',
      labelNames: ['method', 'status'],
      buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60],
      registers,
    }),
  };
}
