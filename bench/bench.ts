// What every bench is: a function from where it runs to what it measured.

import type { Context } from './context.ts';
import type { Measurement } from './measurement.ts';

export type Bench = (context: Context) => Promise<Measurement[]>;
