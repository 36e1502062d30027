import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EvaluationOutcome } from '../../client/evaluate/evaluator.js';
import { findLastJson } from '../../client/evaluate/find-json.js';
import { type MetricQuestion, readMetrics } from '../../client/evaluate/read-metrics.js';
import { expectError } from '../support/expect-error.js';

function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, inner]) => [key, plain(inner)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

const found = (text: string): unknown => plain(findLastJson(text).document);

function read(text: string, question: Partial<MetricQuestion> = {}): EvaluationOutcome {
  const { document } = findLastJson(text);
  if (document === undefined) throw new Error('no document');
  return readMetrics(document, { task: 'qa', metric: 'accuracy', where: 'test', ...question });
}

/** As lm-evaluation-harness 0.4 leaves it, shortened. */
const HARNESS = `{
  "results": {
    "hellaswag": {
      "alias": "hellaswag",
      "acc,none": 0.28689504082852,
      "acc_stderr,none": 0.004513877465062106,
      "acc_norm,none": 0.3145787691694881,
      "acc_norm_stderr,none": 0.004634003
    }
  },
  "group_subtasks": { "hellaswag": [] },
  "configs": { "hellaswag": { "task": "hellaswag", "metric_list": [{ "metric": "acc", "aggregation": "mean" }], "num_fewshot": 0 } },
  "versions": { "hellaswag": 1.0 },
  "n-shot": { "hellaswag": 0 },
  "higher_is_better": { "hellaswag": { "acc": true, "acc_norm": true } },
  "n-samples": { "hellaswag": { "original": 10042, "effective": 1000 } },
  "config": { "model": "hf", "model_args": "pretrained=/models/{x}", "limit": null, "bootstrap_iters": 100000 },
  "git_hash": "abc", "total_evaluation_time_seconds": "12.5"
}`;

const GSM8K = `{"results": {"gsm8k": {"alias": "gsm8k",
  "exact_match,strict-match": 0.05, "exact_match_stderr,strict-match": 0.006,
  "exact_match,flexible-extract": 0.07, "exact_match_stderr,flexible-extract": 0.007}},
  "n-samples": {"gsm8k": {"original": 1319, "effective": 1319}}}`;

const MMLU = `{"results": {
  "mmlu": {"acc,none": 0.25, "acc_stderr,none": 0.003, "alias": "mmlu"},
  "mmlu_humanities": {"alias": " - humanities", "acc,none": 0.24},
  "mmlu_formal_logic": {"alias": "  - formal_logic", "acc,none": 0.28, "samples": 126},
  "mmlu_law": {"alias": "  - law", "acc,none": 0.2}},
  "groups": {"mmlu": {"acc,none": 0.25}},
  "n-samples": {"mmlu_formal_logic": {"original": 126, "effective": 100}, "mmlu_law": {"original": 1534, "effective": 300}},
  "group_subtasks": {"mmlu_humanities": ["mmlu_formal_logic", "mmlu_law"], "mmlu": ["mmlu_humanities"]}}`;

describe('the last JSON object of an output', () => {
  it.each([
    ['one line', '{"accuracy": 0.91}', { accuracy: 0.91 }],
    ['the last of several lines', '{"accuracy": 0.1}\n{"accuracy": 0.2}\n', { accuracy: 0.2 }],
    ['text around it', 'Loading {model}...\nresult: {"accuracy": 0.5} done {}\nbye', { accuracy: 0.5 }],
    [
      'pretty-printed',
      'x\n{\n  "metrics": {\n    "accuracy": 0.5\n  },\n  "list": [1, 2, {"a": null}]\n}\n',
      { metrics: { accuracy: 0.5 }, list: [1, 2, { a: null }] },
    ],
    ['windows line ends', '{\r\n "accuracy": 1e-3\r\n}\r\n', { accuracy: 0.001 }],
    [
      'words of Python',
      '{"a": NaN, "b": Infinity, "c": -Infinity, "d": true, "e": -0.5E+2}',
      { a: Number.NaN, b: Infinity, c: -Infinity, d: true, e: -50 },
    ],
    ['strings with braces', '{"a": "} \\" {\\"b\\": 1}", "c": 2}', { a: '} " {"b": 1}', c: 2 }],
    ['colours around it', '\u001b[32m{"accuracy": 0.5}\u001b[0m', { accuracy: 0.5 }],
    ['a progress bar on the same line', '100%|████| 10/10\r{"accuracy": 0.5}', { accuracy: 0.5 }],
    ['keys that objects have', '{"__proto__": 1, "constructor": 2}', JSON.parse('{"__proto__": 1, "constructor": 2}')],
  ])('is found: %s', (_name, text, expected) => {
    expect(found(text)).toEqual(expected);
  });

  it('is not an inner object of something broken', () => {
    const { document, problem } = findLastJson('{"metrics": {"accuracy": 0.9}, "more": oops}');
    expect(document).toBeUndefined();
    expect(problem).toContain('oops');
    expect(found('{"metrics": {"accuracy": 0.9}')).toBeUndefined();
  });

  it('is found after something broken on an earlier line', () => {
    expect(found('{"a": [1, 2\n{"accuracy": 0.25}\n')).toBeUndefined();
    expect(found('{"a": [1, oops\n{"accuracy": 0.25}\n')).toEqual({ accuracy: 0.25 });
  });

  it('is none in dicts of Python, lists and numbers', () => {
    for (const text of ["{'accuracy': 0.9}", '[1, 2]', '0.9', '', '{}', '{{{{', '"']) expect(found(text)).toBeUndefined();
  });

  it('takes time that grows with the text and not faster', () => {
    for (const text of ['{"a":', '{', '{"a":[', '{"a":1', '{"', '[{"a":{}},'])
      expect(found(text.repeat(200_000))).not.toEqual({ never: 1 });
  });

  it('is any document that JSON.stringify writes, whatever surrounds it', () => {
    const word = fc.string().map((text) => text.replaceAll(/[{"]/g, ''));
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 }), { minKeys: 1 }),
        word,
        word,
        fc.boolean(),
        (value, before, after, pretty) => {
          const text = JSON.stringify(value, undefined, pretty ? 2 : undefined);
          expect(found(`${before}${text}${after}`)).toEqual(JSON.parse(text));
        },
      ),
    );
  });
});

describe('the metrics of a document', () => {
  it('are plain keys, with count and standard error', () => {
    expect(read('{"accuracy": 0.91}')).toEqual({
      value: 0.91,
      count: undefined,
      standardError: undefined,
      gradient: undefined,
      metrics: { accuracy: 0.91 },
    });
    expect(read('{"accuracy": 0.91, "count": 1000, "accuracy_stderr": 0.009}')).toMatchObject({
      value: 0.91,
      count: 1000,
      standardError: 0.009,
    });
    expect(read('{"value": 0.5, "standard_error": 0.1, "count": 3}')).toMatchObject({ value: 0.5, count: 3, standardError: 0.1 });
    expect(read('{"metrics": {"accuracy": 0.75, "loss": 2}, "count": 4}')).toMatchObject({
      value: 0.75,
      count: 4,
      metrics: { accuracy: 0.75, loss: 2 },
    });
    expect(read('{"eval_accuracy": 0.5, "eval_samples": 12, "epoch": 3.0}', { metric: 'eval_accuracy' })).toMatchObject({
      value: 0.5,
      count: 12,
    });
    expect(read('{"accuracy": 0.5, "value": 9}').value).toBe(0.5);
  });

  it('may carry a gradient', () => {
    expect(read('{"accuracy": 1, "gradient": [0.5, -2]}').gradient).toEqual([0.5, -2]);
  });

  it('of lm-evaluation-harness are those of its task', () => {
    const outcome = read(HARNESS, { metric: 'acc' });
    expect(outcome).toMatchObject({ value: 0.28689504082852, standardError: 0.004513877465062106, count: 1000 });
    expect(outcome.metrics['acc_norm,none']).toBe(0.3145787691694881);
    expect(read(HARNESS, { metric: 'acc_norm,none' })).toMatchObject({ value: 0.3145787691694881, standardError: 0.004634003 });
    expect(read('{"results": {"qa": {"acc": 0.5, "acc_stderr": 0.1}, "law": {"acc": 0.7}}}', { metric: 'acc' })).toMatchObject({
      value: 0.5,
      standardError: 0.1,
    });
    expect(read('{"results": {"a": {"acc,none": 0.5}, "b": {"acc,none": 0.7}}}', { metric: 'acc', lmTask: 'b' }).value).toBe(0.7);
    expect(read('{"results": {"a": {"acc,none": 1, "acc_stderr,none": "N/A"}}}', { metric: 'acc' }).standardError).toBeUndefined();
    expect(read('{"results": {"a": {"acc,none": 1, "acc_stderr,none": NaN}}}', { metric: 'acc' }).standardError).toBeUndefined();
  });

  it('of a group are those of the group that sums up the others', () => {
    expect(read(MMLU, { metric: 'acc', task: 'knowledge' })).toMatchObject({ value: 0.25, count: 400 });
    expect(read(MMLU, { metric: 'acc', task: 'knowledge', lmTask: 'mmlu_formal_logic' })).toMatchObject({ value: 0.28, count: 100 });
    expect(read('{"results": {"a": {"acc,none": 1, "samples": 50}}}', { metric: 'acc' }).count).toBe(50);
  });

  it('are refused where two could be meant', async () => {
    const filters = await expectError('EVALUATION_FAILED', () => read(GSM8K, { metric: 'exact_match' }));
    expect(filters.message).toContain('metric: exact_match,strict-match');
    expect(read(GSM8K, { metric: 'exact_match,flexible-extract' })).toMatchObject({ value: 0.07, standardError: 0.007, count: 1319 });
    const tasks = await expectError('EVALUATION_FAILED', () =>
      read('{"results": {"a": {"acc,none": 0.5}, "b": {"acc,none": 0.5}}}', { metric: 'acc' }),
    );
    expect(tasks.message).toContain('lm_task');
  });

  it.each([
    ['NaN', '{"accuracy": NaN}', 'accuracy is not a finite number'],
    ['infinity', '{"accuracy": -Infinity}', 'got -Infinity'],
    ['a text', '{"accuracy": "0.9"}', 'got "0.9"'],
    ['nothing', '{"acc": 0.9}', 'expected a key accuracy; got acc'],
    ['a negative count', '{"accuracy": 0.9, "count": -1}', 'count is not a number of examples'],
    ['a negative error', '{"accuracy": 0.9, "accuracy_stderr": -1}', 'accuracy_stderr is no standard error'],
    ['a gradient with NaN', '{"accuracy": 0.9, "gradient": [1, NaN]}', 'gradient is not a list of finite numbers'],
    ['another lm task', '{"results": {"a": {}}}', 'no metric accuracy'],
    ['results of no task', '{"results": {}}', 'the results hold no task'],
    ['a NaN of the harness', '{"results": {"a": {"accuracy,none": NaN}}}', 'results.a.accuracy,none is not a finite number'],
  ])('are refused: %s', async (_name, text, part) => {
    expect((await expectError('EVALUATION_FAILED', () => read(text))).message).toContain(part);
  });
});
