// `npm run bench:charts [-- --quick]`: draws docs/charts/*.svg of the newest results, or those of quick runs.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { drawBars } from './bar-chart.ts';
import { chartOf, longHaulChart, PLANS } from './charts.ts';
import { drawLines } from './line-chart.ts';
import { RESULTS_DIR, type Result } from './results.ts';

const CHARTS_DIR = join(import.meta.dirname, '..', 'docs', 'charts');

const { values: options } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
await mkdir(CHARTS_DIR, { recursive: true });
for (const plan of PLANS)
  await draw(plan.bench, plan.file, ({ measurements }, on) => {
    const chart = chartOf(plan, measurements);
    return (
      chart && drawBars({ ...chart, note: `${chart.note}; ${on}; each group has its own scale` })
    );
  });
await draw('longHaul', 'long-haul', ({ measurements }, on) => {
  const chart = longHaulChart(measurements);
  return chart && drawLines({ ...chart, note: `${chart.note}; ${on}` });
});

async function draw(
  bench: string,
  file: string,
  make: (result: Result, on: string) => string | undefined,
): Promise<void> {
  const result = await read(bench);
  if (!result) return console.log(`${file}.svg: no result of ${bench} yet`);
  const { machine, postgres, at } = result;
  const on = `${machine.cores} cores, PostgreSQL ${postgres['server_version']}, ${at.slice(0, 10)}`;
  const picture = make(result, on);
  if (picture === undefined) return console.log(`${file}.svg: nothing of ${bench} to draw`);
  await writeFile(join(CHARTS_DIR, `${file}.svg`), picture);
  console.log(`docs/charts/${file}.svg`);
}

async function read(bench: string): Promise<Result | undefined> {
  const file = join(RESULTS_DIR, options.quick ? 'quick' : '', `${bench}.json`);
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Result;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
