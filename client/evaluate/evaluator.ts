/** What an agent asks of whatever measures candidates, and what it gets. */
export interface EvaluationJob {
  readonly round: string;
  readonly candidate: number;
  readonly task: string;
  /** The key that is wanted. */
  readonly metric: string;
  /** In the order of the study's dimensions. */
  readonly coefficients: readonly number[];
  /** Of what the candidate is made: equal digests, equal weights. */
  readonly digest: string;
  /** The candidate as a Hugging Face folder; its files are rewritten in place for the next candidate. */
  readonly folder: string;
  /** The base model's folder, and each contribution's task vector where candidates are local: what closed-form gradients need. */
  readonly gradient?: GradientSource | undefined;
  /** Where what the evaluator says is kept. */
  readonly logFile: string;
  readonly signal: AbortSignal;
}

/** d weights / d coefficient k is `vectors[k]`; undefined entries: the rule is not linear there. */
export interface GradientSource {
  /** Tensor of d candidate / d coefficient `dimension`, as F32 values in the order of the base's tensor; undefined: not known. */
  readonly derivative: (dimension: number, tensor: string) => Promise<Float32Array | undefined>;
  readonly dimensions: number;
}

export interface EvaluationOutcome {
  readonly value: number;
  readonly count?: number | undefined;
  readonly standardError?: number | undefined;
  readonly metrics: Readonly<Record<string, number>>;
  /** d value / d coefficient. */
  readonly gradient?: readonly number[] | undefined;
  /** The other task whose run it was taken from. */
  readonly ranFor?: string | undefined;
}

export interface Evaluator {
  readonly name: string;
  evaluate(job: EvaluationJob): Promise<EvaluationOutcome>;
  close(): Promise<void>;
}
