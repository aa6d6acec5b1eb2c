// What `POST /commands/batch` takes: 1 to 1,000 commands. All faults of all commands are told, up to the
// number that one answer holds.

import { z } from 'zod';
import type { Admission } from './admission.ts';
import { MAX_BODY_BYTES } from './body.ts';
import { type Submission, toSubmission } from './new-command.ts';
import { parse } from './parse.ts';
import { type Fault, MAX_FAULTS, Problem } from './problem.ts';

export const MAX_COMMANDS = 1_000;

const WRONG_BATCH = { at: [], code: 'invalid_batch', detail: 'This is no batch of commands.' };
const EXPECTED_COMMANDS = `expected a list of 1 to ${MAX_COMMANDS} commands`;

/** A batch as a body holds it; its commands are looked at one by one. */
export const batchEnvelope = z.strictObject(
  {
    commands: z
      .custom<unknown[]>(
        (value) => Array.isArray(value) && value.length >= 1 && value.length <= MAX_COMMANDS,
        EXPECTED_COMMANDS,
      )
      .meta({ type: 'array', minItems: 1, maxItems: MAX_COMMANDS }),
  },
  'expected an object with commands',
);

/**
 * The commands of a body whose JSON takes `bytes`.
 *
 * @throws Problem 400, with pointers such as `#/commands/3/payload/ms`.
 */
export async function toBatch(
  value: unknown,
  bytes: number,
  admission: Admission,
): Promise<Submission[]> {
  const { commands } = parse(batchEnvelope, value, WRONG_BATCH);
  const faults = new Faults();
  const submissions = commands.map((command, i) =>
    faults.collect(i, () => {
      if (bytes > MAX_BODY_BYTES) assertNotTooLarge(command);
      return toSubmission(command);
    }),
  );
  const wellFormed = submissions.filter((submission) => submission !== undefined);
  await admission.look(wellFormed);
  submissions.forEach((submission, i) =>
    faults.collect(i, () => submission && admission.assertAdmitted(submission)),
  );
  faults.assertNone();
  return wellFormed;
}

/** Where something is in the batch, given where it is in a command. */
export function pointerInBatch(index: number, pointer: string): string {
  return `#/commands/${index}${pointer.slice(1)}`;
}

class Faults {
  readonly #found: { index: number; fault: Fault }[] = [];

  /** What `check` answers, if it finds no fault. With enough faults nothing is checked any more. */
  collect<T>(index: number, check: () => T): T | undefined {
    if (this.#found.length >= MAX_FAULTS) return undefined;
    try {
      return check();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      for (const fault of error.errors) this.#found.push({ index, fault });
      return undefined;
    }
  }

  assertNone(): void {
    if (this.#found.length === 0) return;
    const inOrder = this.#found.toSorted((a, b) => a.index - b.index);
    const errors = inOrder.map(({ index, fault: { pointer, detail } }) => ({
      pointer: pointerInBatch(index, pointer),
      detail,
    }));
    throw new Problem(400, WRONG_BATCH.code, 'Some commands of the batch are not valid.', {
      errors,
    });
  }
}

// What one request may hold one of may be no larger here: agents get several commands at once.
function assertNotTooLarge(command: unknown): void {
  if (Buffer.byteLength(JSON.stringify(command)) <= MAX_BODY_BYTES) return;
  const detail = `A command may take ${MAX_BODY_BYTES} bytes.`;
  throw new Problem(400, 'command_too_large', detail, { errors: [{ pointer: '#', detail }] });
}
