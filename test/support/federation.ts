/** A team's side of rounds without a command line: many rounds in little time, against a coordinator process. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '../../client/api/connection.js';
import { pull } from '../../client/pull/pull.js';
import { describeFolder } from '../../client/push/describe.js';
import { type PushReport, push } from '../../client/push/push.js';
import { CreateRoundRequest, type Round, RoundState } from '../../shared/generated/tributary/v1/rounds.js';
import type { BeginHeader } from '../../shared/generated/tributary/v1/transfers.js';
import type { ArtifactForm } from '../../shared/transfer/artifact-kind.js';

export interface PushedFolder {
  readonly folder: string;
  readonly samples?: number | undefined;
  readonly steps?: number | undefined;
  readonly kind?: ArtifactForm | undefined;
}

export interface NewRound {
  readonly base: string;
  readonly recipe: string;
  readonly quorum?: number;
  readonly minContributions?: number;
}

export interface Federation {
  registerBase(name: string, folder: string): Promise<void>;
  createRound(name: string, round: NewRound): Promise<Round>;
  push(round: string, contributor: string, pushed: PushedFolder): Promise<PushReport>;
  withdraw(round: string, contributor: string): Promise<void>;
  show(round: string): Promise<Round>;
  /** Closes the round by hand. */
  close(round: string): Promise<void>;
  /** Waits until the round is neither open nor merging. */
  ended(round: string): Promise<Round>;
  /** Fetches a model; returns the bytes of its only weight file. */
  pull(name: string, outDir: string): Promise<Buffer>;
  disconnect(): void;
}

const TIMEOUT_MS = 60_000;

export function joinFederation(server: string): Federation {
  const connection = connect({ server });
  const patience = () => ({ withoutProgressMs: TIMEOUT_MS, signal: AbortSignal.timeout(2 * TIMEOUT_MS), onRetry: () => {} });
  const send = async (folder: string, kind: ArtifactForm, target: BeginHeader['target']): Promise<PushReport> => {
    const { signal } = patience();
    const described = await describeFolder(folder, { kind, threads: 1, cache: undefined, signal, onProgress: () => {} });
    return push(connection, described, { target, patience: patience(), onProgress: () => {}, onVerifying: () => {} });
  };
  const show = (name: string): Promise<Round> => connection.rounds.getRound({ name });
  return {
    async registerBase(name, folder) {
      await send(folder, 'full', { $case: 'base', value: { name } });
    },
    createRound: (name, { base, recipe, quorum = 0, minContributions = 0 }) =>
      connection.rounds.createRound(CreateRoundRequest.fromPartial({ name, base, recipe, quorum, minContributions })),
    push: (round, contributor, { folder, samples, steps, kind = 'full' }) =>
      send(folder, kind, {
        $case: 'contribution',
        value: {
          round,
          contributor,
          baseDigest: '',
          samples: samples === undefined ? undefined : BigInt(samples),
          steps: steps === undefined ? undefined : BigInt(steps),
        },
      }),
    async withdraw(round, contributor) {
      await connection.rounds.withdrawContribution({ round, contributor });
    },
    show,
    async close(name) {
      await connection.rounds.closeRound({ name });
    },
    async ended(name) {
      for await (const { round } of connection.rounds.watchRound({ name }, { signal: AbortSignal.timeout(TIMEOUT_MS) }))
        if (round !== undefined && round.state !== RoundState.OPEN && round.state !== RoundState.MERGING) return round;
      return show(name);
    },
    async pull(name, outDir) {
      await pull(connection, { name, outDir, threads: 1, patience: patience(), onProgress: () => {} });
      return readFileSync(join(outDir, 'model.safetensors'));
    },
    disconnect: () => connection.close(),
  };
}
