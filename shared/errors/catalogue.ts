/**
 * Every error a user can meet: one row a code. The code is stable for ever; the gRPC status, the process exit code and the
 * README's table all come from here, and a test holds the README against it.
 */

/** gRPC status names used by the catalogue; numbers are those of the gRPC specification. */
export const GRPC_STATUS = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type GrpcStatusName = keyof typeof GRPC_STATUS;

/** Exit codes of the `tributary` command. */
export const EXIT_CODE = {
  ok: 0,
  internal: 1,
  usage: 2,
  input: 3,
  refused: 4,
  unavailable: 5,
  resources: 6,
  interrupted: 130,
} as const;

export interface CatalogueEntry {
  /** What happened, in one sentence for the documentation. */
  readonly meaning: string;
  readonly status: GrpcStatusName;
  readonly exit: (typeof EXIT_CODE)[keyof typeof EXIT_CODE];
  /** Whether the same call may succeed later without anything being changed by the caller. */
  readonly retryable: boolean;
}

const row = (meaning: string, status: GrpcStatusName, exit: keyof typeof EXIT_CODE, retryable = false): CatalogueEntry => ({
  meaning,
  status,
  exit: EXIT_CODE[exit],
  retryable,
});

export const CATALOGUE = {
  INTERNAL: row('A defect in Tributary; please report it.', 'INTERNAL', 'internal'),
  INTERRUPTED: row('The command was stopped by a signal; nothing half-made was left in its place.', 'CANCELLED', 'interrupted'),

  USAGE: row('A command line that does not make sense.', 'INVALID_ARGUMENT', 'usage'),
  CONFIG_INVALID: row('A configuration file, variable or flag has a wrong value or an unknown key.', 'INVALID_ARGUMENT', 'usage'),
  RECIPE_SYNTAX: row('The recipe is not valid YAML.', 'INVALID_ARGUMENT', 'usage'),
  RECIPE_UNKNOWN_KEY: row('The recipe has a key that does not exist there.', 'INVALID_ARGUMENT', 'usage'),
  RECIPE_INVALID: row('A recipe value is missing, of the wrong type, out of range or contradicts another.', 'INVALID_ARGUMENT', 'usage'),
  RECIPE_UNSUPPORTED: row('The recipe asks for something this version does not do.', 'INVALID_ARGUMENT', 'usage'),
  OUTPUT_EXISTS: row('The output folder holds something else; it is never overwritten.', 'ALREADY_EXISTS', 'usage'),

  CHECKPOINT_NOT_FOUND: row('The path does not exist or holds no safetensors checkpoint.', 'NOT_FOUND', 'input'),
  CHECKPOINT_INDEX_INVALID: row('The index of a sharded checkpoint contradicts its shards.', 'INVALID_ARGUMENT', 'input'),
  PICKLE_REFUSED: row('The file is a pickle (or zip) archive, a format that can execute code.', 'INVALID_ARGUMENT', 'input'),
  SAFETENSORS_TRUNCATED: row('The file ends before its header or data does.', 'INVALID_ARGUMENT', 'input'),
  SAFETENSORS_HEADER_TOO_LARGE: row('The header is longer than the limit of the format.', 'INVALID_ARGUMENT', 'input'),
  SAFETENSORS_HEADER_INVALID: row('The header is not what the format prescribes.', 'INVALID_ARGUMENT', 'input'),
  SAFETENSORS_DUPLICATE_NAME: row('A tensor name occurs twice.', 'INVALID_ARGUMENT', 'input'),
  SAFETENSORS_OFFSETS_INVALID: row('Tensor data overlaps, leaves a hole or lies outside of the file.', 'INVALID_ARGUMENT', 'input'),
  SAFETENSORS_SIZE_MISMATCH: row('The bytes of a tensor or file are not shape times width of its dtype.', 'INVALID_ARGUMENT', 'input'),
  UNSUPPORTED_DTYPE: row('A tensor that would have to be merged has a dtype without merge arithmetic.', 'INVALID_ARGUMENT', 'input'),

  ADAPTER_INVALID: row('A LoRA adapter contradicts itself or its base model.', 'INVALID_ARGUMENT', 'input'),
  ADAPTER_UNSUPPORTED: row(
    'A LoRA adapter uses something whose effect on the weights is not a product of two matrices.',
    'INVALID_ARGUMENT',
    'input',
  ),
  ENGINE_UNAVAILABLE: row(
    'The linear algebra engine that was asked for does not load on this machine.',
    'FAILED_PRECONDITION',
    'resources',
  ),
  LINALG_FAILED: row('A matrix factorisation did not succeed.', 'INVALID_ARGUMENT', 'input'),
  BASE_MISMATCH: row('The contribution was made from another base model than the round uses.', 'FAILED_PRECONDITION', 'refused'),
  TENSOR_MISSING: row('A tensor of the base model is missing from a contribution.', 'INVALID_ARGUMENT', 'input'),
  TENSOR_EXTRA: row('A contribution has a tensor that the base model does not have.', 'INVALID_ARGUMENT', 'input'),
  SHAPE_MISMATCH: row('A tensor has another shape than in the base model.', 'INVALID_ARGUMENT', 'input'),
  DTYPE_MISMATCH: row('A tensor is floating point on one side and integer on the other.', 'INVALID_ARGUMENT', 'input'),
  NON_FINITE: row('A tensor holds NaN or infinity, or merging it would produce one.', 'INVALID_ARGUMENT', 'input'),
  ZERO_NORM: row('A contribution, or a tensor of it, has norm zero where the rule divides by norms.', 'INVALID_ARGUMENT', 'input'),
  SAMPLES_MISSING: row('The rule weights by samples and a contribution does not say how many it used.', 'FAILED_PRECONDITION', 'refused'),
  STEPS_MISSING: row(
    'The rule weights by training steps and a contribution does not say how many it took.',
    'FAILED_PRECONDITION',
    'refused',
  ),

  MANIFEST_INVALID: row('The description of an upload contradicts itself or breaks a limit.', 'INVALID_ARGUMENT', 'refused'),
  DIGEST_MISMATCH: row('Bytes do not have the SHA-256 they were announced with.', 'DATA_LOSS', 'input', true),
  UPLOAD_INCOMPLETE: row('Finalize was called before every chunk was durable.', 'FAILED_PRECONDITION', 'refused', true),
  UPLOAD_NOT_FOUND: row('No upload has this id, or it expired.', 'NOT_FOUND', 'refused'),
  MODEL_NOT_FOUND: row('No model has this name or digest.', 'NOT_FOUND', 'refused'),
  FILE_NOT_FOUND: row('The model has no file of this name.', 'NOT_FOUND', 'refused'),
  ROUND_NOT_FOUND: row('No round has this name.', 'NOT_FOUND', 'refused'),
  CONTRIBUTION_NOT_FOUND: row('The round has no such contribution.', 'NOT_FOUND', 'refused'),
  NAME_TAKEN: row('The name belongs to something else already.', 'ALREADY_EXISTS', 'refused'),
  ROUND_CLOSED: row('The round no longer takes contributions.', 'FAILED_PRECONDITION', 'refused'),
  ROUND_STATE: row('The round is in a state in which this is not possible.', 'FAILED_PRECONDITION', 'refused'),
  NO_CONTRIBUTIONS: row('The round has fewer accepted contributions than it needs.', 'FAILED_PRECONDITION', 'refused'),
  STUDY_NOT_FOUND: row('The round has no map block, or its model is not published yet.', 'NOT_FOUND', 'refused'),
  METRIC_REFUSED: row('A reported metric is not a number, or outside of the bounds of its task.', 'INVALID_ARGUMENT', 'refused'),
  LEASE_LOST: row('The lease of a measurement expired and its work was handed to another agent.', 'FAILED_PRECONDITION', 'refused'),
  EVALUATION_FAILED: row('An evaluator failed, ran out of time, or printed no metric.', 'INVALID_ARGUMENT', 'input'),
  EVALUATOR_UNAVAILABLE: row('What an evaluator needs is not installed here.', 'FAILED_PRECONDITION', 'resources'),
  DATA_INVALID: row('A data file of an evaluator cannot be read, or lacks what the model needs.', 'INVALID_ARGUMENT', 'input'),
  FRONT_NOT_READY: row('Too little has been measured for this question.', 'FAILED_PRECONDITION', 'refused', true),
  NO_SUCH_POINT: row('No point of the front satisfies the constraints.', 'FAILED_PRECONDITION', 'refused'),

  QUARANTINED: row('The contribution failed admission; the reason is in the message.', 'FAILED_PRECONDITION', 'refused'),

  UNAUTHENTICATED: row('The coordinator wants a token and the one given is missing or unknown.', 'UNAUTHENTICATED', 'refused'),
  PERMISSION_DENIED: row('The token belongs to another contributor.', 'PERMISSION_DENIED', 'refused'),

  DISK_FULL: row('Not enough space on the disk.', 'RESOURCE_EXHAUSTED', 'resources', true),
  PORT_IN_USE: row('The address to listen on is taken.', 'RESOURCE_EXHAUSTED', 'resources', true),
  DATA_DIR_LOCKED: row('Another process uses this data or work folder.', 'RESOURCE_EXHAUSTED', 'resources', true),
  IO_ERROR: row('The operating system refused to read or write a file.', 'INTERNAL', 'resources', true),
  COORDINATOR_UNAVAILABLE: row('The coordinator cannot be reached, is starting or is shutting down.', 'UNAVAILABLE', 'unavailable', true),
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof CATALOGUE;

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(CATALOGUE, code);
}
