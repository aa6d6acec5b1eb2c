import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { envelope, toSubmission } from '../../server/new-command.ts';
import { Problem } from '../../server/problem.ts';

const members = fc.record(
  {
    type: fc.oneof(fc.string(), fc.jsonValue()),
    payload: fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue()),
    priority: fc.oneof(fc.integer({ min: -200, max: 200 }), fc.jsonValue()),
    unknown: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const bodies = fc.oneof(fc.jsonValue(), members);

it('a command without options is taken as it is only where its schema allows it', () => {
  fc.assert(
    fc.property(bodies, (written) => {
      const body: unknown = JSON.parse(JSON.stringify(written));
      expect(unlessRefused(() => toSubmission(body))).toEqual(allowed(body));
    }),
    { numRuns: 2_000 },
  );
});

/** What the schema makes of it; undefined where that, or the payload, is wrong. */
function allowed(body: unknown): unknown {
  const { data } = envelope.safeParse(body);
  const payload = data?.payload;
  return typeof payload === 'object' && payload && !Array.isArray(payload) ? data : undefined;
}

function unlessRefused(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 400) throw error;
    return undefined;
  }
}
