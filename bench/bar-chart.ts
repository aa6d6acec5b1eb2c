// Bars as an SVG: groups of rows, each with who, a bar and the figure.

import { format } from './measurement.ts';
import { svg, text } from './svg.ts';

export interface BarChart {
  title: string;
  /** What the figures are, and whether more of it is better. */
  note: string;
  groups: Group[];
}

export interface Group {
  label: string;
  rows: Row[];
}

export interface Row {
  label: string;
  value: number;
  unit: string;
  /** Ours is drawn in colour. */
  isOurs: boolean;
}

const WIDTH = 760;
const MARGIN = 16;
const LABEL_WIDTH = 250;
const VALUE_WIDTH = 140;
const ROW_HEIGHT = 22;
const BAR_HEIGHT = 14;
const GROUP_GAP = 34;
const TOP = 62;

const BAR_LEFT = MARGIN + LABEL_WIDTH;
const BAR_WIDTH = WIDTH - BAR_LEFT - VALUE_WIDTH - MARGIN;

/** A bar's length is its share of the largest in its group: every group has a scale of its own. */
export function drawBars({ title, note, groups }: BarChart): string {
  const parts: string[] = [];
  let y = TOP;
  for (const { label, rows } of groups) {
    parts.push(text(MARGIN, y + 14, label, 'group'));
    y += ROW_HEIGHT;
    const largest = Math.max(...rows.map(({ value }) => value));
    for (const row of rows) {
      parts.push(...bar(row, y, largest));
      y += ROW_HEIGHT;
    }
    y += GROUP_GAP - ROW_HEIGHT;
  }
  return svg(title, note, { width: WIDTH, height: y }, parts);
}

function bar({ label, value, unit, isOurs }: Row, y: number, largest: number): string[] {
  const kind = isOurs ? 'ours' : 'other';
  const width = largest > 0 ? Math.max(1, (value / largest) * BAR_WIDTH) : 1;
  return [
    text(MARGIN + 12, y + 13, label, isOurs ? 'ours' : undefined),
    `<rect class="${kind}" x="${BAR_LEFT}" y="${y + 2}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="2"/>`,
    text(BAR_LEFT + width + 8, y + 13, `${format(value)} ${unit}`),
  ];
}
