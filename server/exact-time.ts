import { z } from 'zod';

const EXPECTED = 'expected an ISO 8601 time with its offset from UTC, in the years 1000 to 9999';
const PARTS =
  /^([1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-](?:0\d|1[0-4]):[0-5]\d)$/;
const EARLIEST = Date.parse('1000-01-02');
const LATEST = Date.parse('9999-12-30');

/**
 * A time that a list is narrowed by. It comes out in UTC with exactly six digits after the second, as
 * Postgres keeps them: such texts order as their times do. What is finer is cut off.
 */
export const exactTime = z
  .string()
  .transform((text, ctx) => {
    const [, local, fraction = '', offset] = PARTS.exec(text) ?? [];
    const isOnCalendar = local && z.iso.datetime({ local: true }).safeParse(local).success;
    const ms = isOnCalendar ? Date.parse(`${local}${offset}`) : NaN;
    if (ms > EARLIEST && ms < LATEST) {
      const second = new Date(ms).toISOString().slice(0, 19);
      return `${second}.${fraction.slice(0, 6).padEnd(6, '0')}Z`;
    }
    ctx.issues.push({ code: 'custom', input: text, message: EXPECTED });
    return z.NEVER;
  })
  .meta({ format: 'date-time' });
