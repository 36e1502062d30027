/**
 * A front as a picture: a scatter plot for two tasks, a matrix of them for more. Measured candidates, the predicted front, and by name the base,
 * every single model, the plain average and the chosen point. One description (ECharts') makes the SVG and the page.
 */
import { CandidateKind, MetricDirection, type StudyTask } from '../../shared/generated/tributary/v1/evaluations.js';
import type { Front, Point } from '../../shared/generated/tributary/v1/pareto.js';
import { kindName, measuredValue } from './front-view.js';

/** What is drawn with which symbol, from back to front. */
const LAYERS = [
  { name: 'measured, dominated', color: '#b8c0cc', symbol: 'circle', size: 6 },
  { name: 'measured', color: '#5b6b82', symbol: 'circle', size: 7 },
  { name: 'predicted front', color: '#1f77b4', symbol: 'circle', size: 5 },
  { name: 'single models', color: '#2ca02c', symbol: 'triangle', size: 13 },
  { name: 'base', color: '#111111', symbol: 'diamond', size: 14 },
  { name: 'plain average', color: '#ff7f0e', symbol: 'rect', size: 11 },
  { name: 'soups and results', color: '#9467bd', symbol: 'roundRect', size: 11 },
  { name: 'chosen', color: '#d62728', symbol: 'pin', size: 26 },
] as const;

type LayerName = (typeof LAYERS)[number]['name'];

const LAYER_OF: Partial<Readonly<Record<CandidateKind, LayerName>>> = {
  [CandidateKind.BASE]: 'base',
  [CandidateKind.SINGLE]: 'single models',
  [CandidateKind.AVERAGE]: 'plain average',
  [CandidateKind.SOUP]: 'soups and results',
  [CandidateKind.RESULT]: 'soups and results',
  [CandidateKind.MATERIALISED]: 'soups and results',
};

/** A point with one value a task, and what is said of it. */
interface Mark {
  readonly layer: LayerName;
  readonly values: readonly (number | undefined)[];
  readonly label: string;
  readonly text: string;
}

export interface PlotSize {
  readonly width: number;
  readonly height: number;
}

const PANEL = { width: 300, height: 250, left: 64, top: 26, gapX: 66, gapY: 56 };
const SINGLE_PANEL = { width: 720, height: 480 };
/** Above the panels: the title and the legend. */
const HEAD = 92;

const escapeHtml = (text: string): string =>
  text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');

function describe(front: Front, point: Point, values: readonly (number | undefined)[]): string {
  const metrics = front.tasks.map(({ name }, index) => `${name}: ${values[index]?.toPrecision(4) ?? '-'}`);
  const coefficients = front.dimensions.map(({ name }, index) => `${name} ${point.coefficients[index]?.toFixed(3) ?? '-'}`);
  return [kindName(point), ...metrics, coefficients.join(', ')].map(escapeHtml).join('<br>');
}

function marksOf(front: Front, chosen: Point | undefined): Mark[] {
  const measured = front.measured.map((point): Mark => {
    const values = front.tasks.map(({ name }) => measuredValue(point, name));
    const layer = LAYER_OF[point.kind] ?? (point.dominated ? 'measured, dominated' : 'measured');
    const named = LAYER_OF[point.kind] !== undefined;
    const label = named ? point.label || point.model || kindName(point) : '';
    return { layer, values, label, text: describe(front, point, values) };
  });
  const predicted = front.predicted.map(
    (point): Mark => ({ layer: 'predicted front', values: point.predicted, label: '', text: describe(front, point, point.predicted) }),
  );
  if (chosen === undefined) return [...measured, ...predicted];
  const values = front.tasks.map(({ name }, index) => chosen.predicted[index] ?? measuredValue(chosen, name));
  return [...measured, ...predicted, { layer: 'chosen', values, label: 'chosen', text: describe(front, chosen, values) }];
}

function axisName({ name, metric, direction }: StudyTask): string {
  const what = name === metric ? name : `${name} (${metric})`;
  return direction === MetricDirection.MINIMIZE ? `${what}, less is better` : what;
}

/** Labels in the right part of a panel stand on the left of their points, so that they do not run into the next panel. */
function labelSides(marks: readonly Mark[], task: number): (value: number | undefined) => 'left' | 'right' {
  const values = marks.flatMap((mark) => mark.values[task] ?? []);
  const least = Math.min(...values);
  const border = least + 0.7 * (Math.max(...values) - least);
  return (value) => (value !== undefined && value > border ? 'left' : 'right');
}

interface Panel {
  readonly x: number;
  readonly y: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Every pair of tasks once: below the diagonal of the matrix. */
function panelsOf(tasks: number): Panel[] {
  if (tasks <= 2) return [{ x: 0, y: tasks - 1, left: 84, top: HEAD, ...SINGLE_PANEL }];
  const panels: Panel[] = [];
  for (let y = 1; y < tasks; y++)
    for (let x = 0; x < y; x++)
      panels.push({
        x,
        y,
        left: PANEL.left + x * (PANEL.width + PANEL.gapX),
        top: HEAD + PANEL.top + (y - 1) * (PANEL.height + PANEL.gapY),
        width: PANEL.width,
        height: PANEL.height,
      });
  return panels;
}

export function plotSize({ tasks }: Pick<Front, 'tasks'>): PlotSize {
  const panels = panelsOf(tasks.length);
  const right = Math.max(...panels.map(({ left, width }) => left + width));
  const bottom = Math.max(...panels.map(({ top, height }) => top + height));
  return { width: Math.max(right + 40, 760), height: bottom + 64 };
}

function seriesOf(marks: readonly Mark[], panels: readonly Panel[], oneTask: boolean): object[] {
  return panels.flatMap(({ x, y }, index) => {
    const sideOf = labelSides(marks, x);
    return LAYERS.flatMap(({ name, color, symbol, size }) => {
      const own = marks.filter(({ layer }) => layer === name);
      const data = own.flatMap(({ values, label, text }, order) => {
        const point = [oneTask ? order : values[x], values[y]];
        return point.some((value) => value === undefined)
          ? []
          : [{ value: point, name: text, label: { formatter: label.replace(/[{}|]/g, ' '), position: sideOf(values[x]) } }];
      });
      if (data.length === 0) return [];
      return {
        type: 'scatter',
        name,
        xAxisIndex: index,
        yAxisIndex: index,
        data,
        symbol,
        symbolSize: size,
        itemStyle: { color, ...(name === 'measured, dominated' ? {} : { borderColor: '#ffffff', borderWidth: 0.6 }) },
        label: {
          show: data.some(({ label }) => label.formatter !== ''),
          color,
          fontSize: 11,
          distance: 4,
          textBorderColor: '#ffffff',
          textBorderWidth: 2,
        },
        labelLayout: { hideOverlap: false, moveOverlap: 'shiftY' },
        z: 2 + LAYERS.findIndex((layer) => layer.name === name),
      };
    });
  });
}

/** What ECharts draws; plain data, so that it can be put into a page. */
export function plotOption(front: Front, chosen: Point | undefined): Record<string, unknown> {
  const marks = marksOf(front, chosen);
  const panels = panelsOf(front.tasks.length);
  const oneTask = front.tasks.length === 1;
  const axis = (task: number, index: number, horizontal: boolean): object => ({
    type: 'value',
    gridIndex: index,
    scale: true,
    name: axisName(front.tasks[task] as StudyTask),
    nameLocation: 'middle',
    nameGap: horizontal ? 26 : 44,
    nameTextStyle: { color: '#333333', fontSize: 12 },
    axisLabel: { color: '#555555', fontSize: 11, hideOverlap: true },
    axisLine: { show: true, lineStyle: { color: '#999999' } },
    splitLine: { lineStyle: { color: '#eeeeee' } },
  });
  // At its end the name would be cut off by the border of the picture.
  const order = {
    type: 'value',
    gridIndex: 0,
    name: 'order',
    nameLocation: 'middle',
    nameGap: 12,
    axisLine: { onZero: false },
    axisLabel: { show: false },
    splitLine: { show: false },
  };
  return {
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: 'system-ui, sans-serif' },
    title: {
      text: `Pareto front of ${front.round}`,
      subtext: `${front.evaluations} evaluations, ${front.predicted.length} predicted points, version ${front.version}`,
      left: 16,
      top: 8,
    },
    legend: {
      data: LAYERS.flatMap(({ name }) => (marks.some(({ layer }) => layer === name) ? [name] : [])),
      top: 58,
      left: 14,
      itemGap: 14,
      textStyle: { fontSize: 12 },
    },
    tooltip: { trigger: 'item', formatter: '{b}' },
    grid: panels.map(({ left, top, width, height }) => ({ left, top, width, height })),
    xAxis: panels.map(({ x }, index) => (oneTask ? order : axis(x, index, true))),
    yAxis: panels.map(({ y }, index) => axis(y, index, false)),
    series: seriesOf(marks, panels, oneTask),
  };
}

export async function renderSvg(front: Front, chosen: Point | undefined): Promise<string> {
  const [{ init, use }, { ScatterChart }, components, { LabelLayout }, { SVGRenderer }] = await Promise.all([
    import('echarts/core'),
    import('echarts/charts'),
    import('echarts/components'),
    import('echarts/features'),
    import('echarts/renderers'),
  ]);
  const { GridComponent, LegendComponent, TitleComponent, TooltipComponent } = components;
  use([ScatterChart, GridComponent, LegendComponent, TitleComponent, TooltipComponent, LabelLayout, SVGRenderer]);
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...plotSize(front) });
  try {
    chart.setOption(plotOption(front, chosen));
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}
