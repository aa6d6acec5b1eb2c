// The pictures of results: well-formed XML that shows every figure.

import { expect, test } from 'vitest';
import { drawBars } from '../../bench/bar-chart.ts';
import { chartOf, longHaulChart, PLANS } from '../../bench/charts.ts';
import { drawLines } from '../../bench/line-chart.ts';
import { OURS, type Measurement } from '../../bench/measurement.ts';

const CHART = {
  title: 'Claims & "finishes" <fast>',
  note: 'ms',
  groups: [
    {
      label: 'a group',
      rows: [
        { label: OURS, value: 2.5, unit: 'ms', isOurs: true },
        { label: 'a <peer>', value: 10, unit: 'ms', isOurs: false },
        { label: 'nothing', value: 0, unit: 'ms', isOurs: false },
      ],
    },
  ],
};

test('a picture is well-formed, whatever its words hold', () => {
  expect(openElements(drawBars(CHART))).toEqual([]);
  expect(textsOf(drawBars(CHART))).toContain('Claims &amp; &quot;finishes&quot; &lt;fast&gt;');
});

test('it shows who, and each figure with its unit', () => {
  const texts = textsOf(drawBars(CHART));
  for (const words of ['a group', OURS, '2.50 ms', 'a &lt;peer&gt;', '10.0 ms', '0.00 ms'])
    expect(texts).toContain(words);
});

test('a bar is as long as its share of the largest in its group', () => {
  const [ours, peer, nothing] = [...drawBars(CHART).matchAll(/<rect [^>]* width="([\d.]+)"/g)].map(
    ([, width]) => Number(width),
  );
  expect(ours).toBeCloseTo((peer ?? 0) / 4, 0);
  expect(nothing).toBe(1);
});

test('only ours is in colour', () => {
  expect([...drawBars(CHART).matchAll(/<rect class="(\w+)"/g)].map(([, kind]) => kind)).toEqual([
    'ours',
    'other',
    'other',
  ]);
});

test('results become groups with the median of their rounds, and what is not asked for is left out', () => {
  const latency = PLANS.find(({ file }) => file === 'latency');
  const chart =
    latency &&
    chartOf(latency, [
      measured('latency, submit to start, idle, p50', [3, 1, 2]),
      measured('latency, submit to start, idle, max', [9]),
      measured('latency, submit to result, idle, p50', [4]),
    ]);
  expect(chart?.groups).toEqual([
    { label: 'idle, p50', rows: [{ label: OURS, value: 2, unit: 'ms', isOurs: true }] },
  ]);
});

test('the long haul has a panel for each size, with both runs on one scale', () => {
  const watched = (what: string, series: [number, number][]): Measurement => ({
    ...measured(what, [10]),
    series,
  });
  const chart = longHaulChart([
    watched('long haul, ledger: table', [
      [0, 0],
      [10, 5],
    ]),
    measured('long haul, ledger: table, last quarter beside the one before', [1]),
    watched('long haul, horizon pinned, ledger: table', [
      [0, 0],
      [20, 10],
    ]),
  ]);
  const picture = chart ? drawLines(chart) : '';
  expect(openElements(picture)).toEqual([]);
  expect(textsOf(picture)).toContain('ledger: table, up to 10.0 ms');
  const ends = [...picture.matchAll(/points="[\d.,]+ ([\d.]+),([\d.]+)"/g)].map(([, x, y]) => [
    Number(x),
    Number(y),
  ]);
  const [[pinnedX = 0, pinnedY = 0] = [], [x = 0, y = 0] = []] = ends;
  // Half as long, and half as high.
  expect(x - 16).toBeCloseTo((pinnedX - 16) / 2, 0);
  expect(y).toBeGreaterThan(pinnedY + 40);
});

test('there is no picture of nothing', () => {
  expect(longHaulChart([])).toBeUndefined();
  for (const plan of PLANS) expect(chartOf(plan, [])).toBeUndefined();
});

function measured(what: string, values: number[]): Measurement {
  return { what, subject: OURS, unit: 'ms', values };
}

/** Tags that were opened and not closed, or the other way round; throws for a stray & or <. */
function openElements(xml: string): string[] {
  const open: string[] = [];
  const rest = xml.replaceAll(
    /<(\/?)(\w+)((?: [\w:-]+="[^"<]*")*)(\/?)>/g,
    (_, end, name, __, empty) => {
      if (end && open.pop() !== name) throw new Error(`unexpected </${String(name)}>`);
      if (!end && !empty) open.push(String(name));
      return '';
    },
  );
  expect(rest.replaceAll(/&(amp|lt|gt|quot);/g, '')).not.toMatch(/[&<]/);
  return open;
}

function textsOf(svg: string): string[] {
  return [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, words]) => words ?? '');
}
