/** A front as a file: CSV for spreadsheets, JSON for programs, SVG for documents, a page (HTML, with everything in it) to look around in. */
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { TributaryError } from '../../shared/errors/tributary-error.js';
import type { Front, Point } from '../../shared/generated/tributary/v1/pareto.js';
import { frontView, kindName, measuredValue, pointView, surrogateTable } from './front-view.js';
import { plotOption, plotSize, renderSvg } from './plot.js';

const FORMATS: Readonly<Record<string, (front: Front, chosen: Point | undefined) => string | Promise<string>>> = {
  '.csv': frontCsv,
  '.json': (front, chosen) =>
    `${JSON.stringify({ ...frontView(front), chosen: chosen === undefined ? null : pointView(front, chosen) }, withoutBigint, 2)}\n`,
  '.svg': renderSvg,
  '.html': frontPage,
};

function withoutBigint(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}

/** @param path its extension says the format: .csv, .json, .svg or .html @throws USAGE for another one */
export async function exportFront(front: Front, chosen: Point | undefined, path: string): Promise<void> {
  const format = FORMATS[extname(path).toLowerCase()];
  if (format === undefined)
    throw new TributaryError('USAGE', {
      what: 'The name of the file says no format that is known',
      where: '--out',
      expected: Object.keys(FORMATS).join(', '),
      got: path,
    });
  const text = await format(front, chosen);
  const partial = `${path}.partial`;
  await writeFile(partial, text);
  await rename(partial, path);
}

/** A field as RFC 4180 wants it. What a spreadsheet would take for a formula is text. */
function csvField(value: string | number | undefined): string {
  if (value === undefined) return '';
  const text = typeof value === 'string' && /^[=+\-@]/.test(value) ? `'${value}` : `${value}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function frontCsv(front: Front, chosen: Point | undefined): string {
  const { tasks, dimensions } = front;
  const head = [
    'point',
    'candidate',
    'dominated',
    ...dimensions.map(({ name }) => `coefficient ${name}`),
    ...tasks.flatMap(({ name }) => [`predicted ${name}`, `error ${name}`, `measured ${name}`]),
  ];
  const row = (point: Point, kind: string): string => {
    const metrics = tasks.flatMap(({ name }, index) => [point.predicted[index], point.predictedErrors[index], measuredValue(point, name)]);
    const fields = [
      kind,
      point.candidate,
      point.dominated ? 'yes' : 'no',
      ...dimensions.map((_, index) => point.coefficients[index]),
      ...metrics,
    ];
    return fields.map(csvField).join(',');
  };
  const rows = [...front.predicted, ...front.measured].map((point) => row(point, kindName(point)));
  if (chosen !== undefined) rows.push(row(chosen, 'chosen'));
  return `${[head.map(csvField).join(','), ...rows].join('\r\n')}\r\n`;
}

const escapeHtml = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

/** One file without a network: the chart library is in it. */
export function frontPage(front: Front, chosen: Point | undefined): string {
  const library = readFileSync(
    join(dirname(createRequire(import.meta.url).resolve('echarts/package.json')), 'dist', 'echarts.min.js'),
    'utf8',
  );
  const { width, height } = plotSize(front);
  // In a script element only `</` could end it early; JSON in which no < is left cannot.
  const option = JSON.stringify(plotOption(front, chosen)).replaceAll('<', '\\u003c');
  const warnings = front.warnings.map((warning) => `<p class="warning">${escapeHtml(warning)}</p>`).join('\n');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Pareto front of ${escapeHtml(front.round)}</title>
<style>
body { font-family: system-ui, sans-serif; margin: 24px; color: #222; background: #fff; }
pre { font-size: 13px; line-height: 1.5; }
.warning { color: #a15c00; }
</style>
</head>
<body>
<div id="plot" style="width: ${width}px; height: ${height}px"></div>
${warnings}
<h2>Surrogates</h2>
<pre>${escapeHtml(surrogateTable(front))}</pre>
<script>${library.replaceAll('</script', '<\\/script')}</script>
<script>
const chart = echarts.init(document.getElementById('plot'));
chart.setOption(${option});
</script>
</body>
</html>
`;
}
