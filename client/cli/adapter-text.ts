/** What commands say about an adapter that they made. */
import { type AdapterReport, adapterLines } from '../merge/adapter-report.js';

/** Lines below the verdict. */
export function adapterText(report: AdapterReport): string {
  const lines = adapterLines(report);
  const width = Math.max(...lines.map(([label]) => label.length));
  return lines.map(([label, value]) => `  ${label.toLowerCase().padEnd(width)}  ${value}`).join('\n');
}
