// Courses over time as an SVG: a panel for each size, with a line for each run. The first one's is in colour.

import { format } from './measurement.ts';
import { escape, svg, text } from './svg.ts';

export interface LineChart {
  title: string;
  note: string;
  panels: Panel[];
}

export interface Panel {
  label: string;
  unit: string;
  /** The first one is in colour. */
  lines: { label: string; points: readonly (readonly [x: number, y: number])[] }[];
}

const WIDTH = 760;
const MARGIN = 16;
const GAP = 28;
const COLUMNS = 2;
const PANEL_WIDTH = (WIDTH - 2 * MARGIN - GAP) / COLUMNS;
const PANEL_HEIGHT = 84;
const ROW_HEIGHT = PANEL_HEIGHT + 52;
const TOP = 62;

/** Each panel's scale is from zero to the largest value in it, and from the beginning to the longest run's end. */
export function drawLines({ title, note, panels }: LineChart): string {
  const parts = panels.flatMap((panel, i) => {
    const x = MARGIN + (i % COLUMNS) * (PANEL_WIDTH + GAP);
    return drawPanel(panel, x, TOP + Math.floor(i / COLUMNS) * ROW_HEIGHT);
  });
  const height = TOP + Math.ceil(panels.length / COLUMNS) * ROW_HEIGHT;
  return svg(title, note, { width: WIDTH, height }, parts);
}

function drawPanel({ label, unit, lines }: Panel, x: number, y: number): string[] {
  const points = lines.flatMap((line) => line.points);
  const longest = Math.max(...points.map(([at]) => at)) || 1;
  const largest = Math.max(...points.map(([, value]) => value)) || 1;
  const top = y + 22;
  const place = ([at, value]: readonly [number, number]) =>
    `${(x + (at / longest) * PANEL_WIDTH).toFixed(1)},${(top + PANEL_HEIGHT * (1 - value / largest)).toFixed(1)}`;
  const base = top + PANEL_HEIGHT;
  return [
    text(x, y + 14, `${label}, up to ${format(largest)} ${unit}`, 'group'),
    `<path class="axis" d="M${x.toFixed(1)},${base} h${PANEL_WIDTH.toFixed(1)}"/>`,
    // The one in colour above the others.
    ...lines.toReversed().map((line) => {
      const kind = line === lines[0] ? 'ours' : 'other';
      const title = `<title>${escape(line.label)}</title>`;
      return `<polyline class="line ${kind}" points="${line.points.map(place).join(' ')}">${title}</polyline>`;
    }),
  ];
}
