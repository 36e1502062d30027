/**
 * The coordinator's side of one study, over real gRPC and with real files to fetch, but without a coordinator: pairs, leases that expire, and
 * whatever goes wrong as a test wants it.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type CallContext, createServer, ServerError, type ServerMiddlewareCall } from 'nice-grpc';
import { describeFolder } from '../../client/push/describe.js';
import { GRPC_STATUS } from '../../shared/errors/catalogue.js';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import {
  type EvaluationLease,
  EvaluationServiceDefinition,
  type EvaluationServiceImplementation,
  type HeartbeatRequest,
  type LeaseRequest,
  type ReportRequest,
  Study,
  StudyState,
} from '../../shared/generated/tributary/v1/evaluations.js';
import { Model, ModelServiceDefinition, type ModelServiceImplementation } from '../../shared/generated/tributary/v1/models.js';
import { setErrorTrailer } from '../../shared/grpc/error-trailer.js';
import type { Artifact } from '../../shared/transfer/artifact.js';
import type { ArtifactForm } from '../../shared/transfer/artifact-kind.js';
import { eventually } from './eventually.js';

export interface FakeModel {
  readonly folder: string;
  readonly kind: ArtifactForm;
}

export interface FakeStudyOptions {
  readonly study: Parameters<typeof Study.fromPartial>[0];
  /** By reference. */
  readonly models: ReadonlyMap<string, FakeModel>;
  /** Coefficients of the candidates. */
  readonly candidates: readonly (readonly number[])[];
  readonly leaseMs?: number;
  readonly wantsGradient?: boolean;
  /** Leases at a time, whatever is asked for. */
  readonly most?: number;
  /** Of served candidates. */
  readonly modelOf?: (candidate: number) => string;
  /** May throw. */
  readonly onLease?: (request: LeaseRequest) => void;
  readonly onHeartbeat?: (request: HeartbeatRequest) => void;
  readonly onReport?: (request: ReportRequest) => void;
  readonly onDownload?: (name: string) => void;
  readonly port?: number;
}

type Pair = { candidate: number; task: string } & (
  | { state: 'open' }
  | { state: 'leased'; lease: string; agent: string; endsMs: number }
  | { state: 'done'; report: ReportRequest }
);

export interface FakeStudy {
  readonly address: string;
  readonly port: number;
  /** Every report that reached it, refused or not. */
  readonly reports: readonly ReportRequest[];
  readonly leased: readonly EvaluationLease[];
  readonly downloads: readonly string[];
  /** Values that counted, by `CANDIDATE TASK`. */
  values(): Record<string, number>;
  /** Takes every lease away. */
  loseLeases(): void;
  addCandidate(coefficients: readonly number[]): void;
  stop(): Promise<void>;
}

async function* translate<Request, Response>(call: ServerMiddlewareCall<Request, Response>, context: CallContext) {
  try {
    return yield* call.next(call.request, context);
  } catch (error) {
    if (!(error instanceof TributaryError)) throw error;
    setErrorTrailer(context.trailer, error);
    throw new ServerError(GRPC_STATUS[error.entry.status], error.message);
  }
}

interface Described extends FakeModel {
  readonly artifact: Artifact;
  readonly manifest: Uint8Array;
}

export async function describeModels(models: ReadonlyMap<string, FakeModel>): Promise<Map<string, Described>> {
  const described = new Map<string, Described>();
  for (const [reference, model] of models) {
    const signal = AbortSignal.timeout(60_000);
    const { artifact, manifest } = await describeFolder(model.folder, {
      kind: model.kind,
      threads: 1,
      cache: undefined,
      signal,
      onProgress: () => {},
    });
    described.set(reference, { ...model, artifact, manifest });
  }
  return described;
}

function modelService(
  models: ReadonlyMap<string, Described>,
  downloads: string[],
  onDownload?: (name: string) => void,
): ModelServiceImplementation {
  const find = (name: string): Described => {
    const model = models.get(name);
    if (model === undefined) throw new TributaryError('MODEL_NOT_FOUND', { what: `No model ${name}` });
    return model;
  };
  return {
    listModels: () => Promise.reject(new Error('not asked for')),
    getModel: async ({ name }) => {
      const { artifact } = find(name);
      const { weightsDigest, manifestDigest, totalBytes } = artifact;
      return Model.fromPartial({ name, weightsDigest, manifestDigest, totalBytes: BigInt(totalBytes) });
    },
    async *getManifest({ name }) {
      yield { manifestPart: find(name).manifest };
    },
    async *download({ name, path, offset, lengthBytes }) {
      onDownload?.(name);
      downloads.push(`${name} ${path}`);
      const file = await open(join(find(name).folder, path));
      const data = new Uint8Array(Number(lengthBytes));
      await file.read(data, 0, data.length, Number(offset));
      await file.close();
      yield { offset, data };
    },
  };
}

export async function startFakeStudy(options: FakeStudyOptions): Promise<FakeStudy> {
  const { models, leaseMs = 10_000, onLease, onHeartbeat, onReport } = options;
  const described = await describeModels(models);
  const partial = Study.fromPartial(options.study);
  const contributions = partial.contributions.map((one) => {
    const artifact = described.get(one.model)?.artifact;
    return { ...one, manifestDigest: artifact?.manifestDigest ?? '', weightsDigest: artifact?.weightsDigest ?? '' };
  });
  const baseDigest = described.get(partial.baseName)?.artifact.weightsDigest ?? '';
  const coefficients = options.candidates.map((one) => [...one]);
  const pairs: Pair[] = [];
  const add = (candidate: number): void => partial.tasks.forEach(({ name }) => pairs.push({ candidate, task: name, state: 'open' }));
  coefficients.forEach((_, candidate) => add(candidate));
  const reports: ReportRequest[] = [];
  const leased: EvaluationLease[] = [];
  const downloads: string[] = [];
  let counter = 0;

  const study = (): Study => ({
    ...partial,
    contributions,
    baseDigest,
    leaseSeconds: Math.ceil(leaseMs / 1000),
    state: pairs.every(({ state }) => state === 'done') ? StudyState.COMPLETE : StudyState.EVALUATING,
  });

  function take({ agent, tasks, most }: LeaseRequest): EvaluationLease[] {
    const free = pairs.filter(
      (pair) => tasks.includes(pair.task) && (pair.state === 'open' || (pair.state === 'leased' && pair.endsMs < Date.now())),
    );
    const ofOne = free
      .filter(({ candidate }) => candidate === free[0]?.candidate)
      .slice(0, Math.min(options.most ?? Infinity, Math.max(1, most)));
    return ofOne.map(({ candidate, task }) => {
      const leaseId = `lease-${counter++}`;
      const index = pairs.findIndex((pair) => pair.candidate === candidate && pair.task === task);
      pairs[index] = { candidate, task, state: 'leased', lease: leaseId, agent, endsMs: Date.now() + leaseMs };
      const lease: EvaluationLease = {
        leaseId,
        round: partial.round,
        candidate,
        task,
        metric: partial.tasks.find(({ name }) => name === task)?.metric ?? '',
        coefficients: coefficients[candidate] ?? [],
        model: options.modelOf?.(candidate) ?? '',
        attempt: 0,
        wantsGradient: options.wantsGradient ?? false,
      };
      leased.push(lease);
      return lease;
    });
  }

  const evaluations: EvaluationServiceImplementation = {
    getStudy: async () => study(),
    listStudies: async () => ({ studies: [study()] }),
    async lease(request, context) {
      onLease?.(request);
      const until = Date.now() + request.waitSeconds * 1000;
      const leases = await eventually('a pair', () => {
        const taken = take(request);
        return taken.length > 0 || Date.now() > until || context.signal.aborted ? taken : undefined;
      });
      return { leases };
    },
    async heartbeat(request) {
      onHeartbeat?.(request);
      const kept = pairs.flatMap((pair) => {
        if (pair.state !== 'leased' || !request.leaseIds.includes(pair.lease)) return [];
        pair.endsMs = Date.now() + leaseMs;
        return [pair.lease];
      });
      return { leaseIds: kept };
    },
    async report(request) {
      reports.push(request);
      onReport?.(request);
      const index = pairs.findIndex(({ candidate, task }) => candidate === request.candidate && task === request.task);
      const pair = pairs[index];
      if (pair === undefined || pair.state === 'done') return { counted: false };
      pairs[index] = { candidate: pair.candidate, task: pair.task, state: 'done', report: request };
      return { counted: true };
    },
    stopStudy: async () => study(),
    listCandidates: () => {
      throw new Error('not asked for');
    },
  };

  const server = createServer().use(translate);
  server.add(EvaluationServiceDefinition, evaluations);
  server.add(ModelServiceDefinition, modelService(described, downloads, options.onDownload));
  const port = await server.listen(`127.0.0.1:${options.port ?? 0}`);
  return {
    address: `127.0.0.1:${port}`,
    port,
    reports,
    leased,
    downloads,
    values: () =>
      Object.fromEntries(
        pairs.flatMap((pair) => {
          const outcome = pair.state === 'done' ? pair.report.outcome : undefined;
          return outcome?.$case === 'measured' ? [[`${pair.candidate} ${pair.task}`, outcome.value.value]] : [];
        }),
      ),
    loseLeases() {
      pairs.forEach((pair, index) => {
        if (pair.state === 'leased') pairs[index] = { candidate: pair.candidate, task: pair.task, state: 'open' };
      });
    },
    addCandidate(one) {
      coefficients.push([...one]);
      add(coefficients.length - 1);
    },
    stop: () => {
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}
