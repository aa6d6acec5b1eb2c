// Checks payloads against the schemas in `executor.command_types`, without a query a request.
//
// The compiled schemas are read again when they are older than a few seconds, or when a type is
// unknown, which may be one published a moment ago. One read at a time serves all who wait, and it
// begins after they came (that is what the Batcher gives). Without requests nothing is read.
//
// A schema that does not compile checks nothing: its commands are accepted, as they are from psql,
// and the agent's own check decides. The log says so once.

import type { CommandTypeRow } from '../db/command-types.ts';
import { Batcher } from '../db/batcher.ts';
import type { Logger } from '../runtime/log.ts';
import { compilePayloadCheck, type PayloadCheck } from './payload-schema.ts';
import { Problem } from './problem.ts';

const MAX_AGE_MS = 5_000;
const MAX_WAITING = 10_000;

interface KnownType {
  /** The schema's text: what it was compiled from. */
  source: string;
  check: PayloadCheck;
}

export class Payloads {
  readonly #log: Logger;
  readonly #reads: Batcher<string, string>;
  #types = new Map<string, KnownType>();
  #readAtMs = -Infinity;

  constructor(readTypes: () => Promise<CommandTypeRow[]>, log: Logger) {
    this.#log = log;
    this.#reads = new Batcher(
      async (asked) => {
        const readAtMs = performance.now();
        this.#replace(await readTypes());
        this.#readAtMs = readAtMs;
        return asked;
      },
      { maxItems: MAX_WAITING },
    );
  }

  /** @throws Problem 400: unknown type, or a payload that the type's schema does not allow. */
  async check(type: string, payload: object): Promise<void> {
    await this.look([type]);
    this.assertValid(type, payload);
  }

  /** Reads the schemas again if they are old, or if one of these types is not known. */
  async look(types: Iterable<string>): Promise<void> {
    const isFresh = performance.now() - this.#readAtMs < MAX_AGE_MS;
    const unknown = Array.from(types).filter((type) => !isFresh || !this.#types.has(type));
    await Promise.all(unknown.map((type) => this.#reads.add(type)));
  }

  /** The same as `check`, after `look`. */
  assertValid(type: string, payload: object): void {
    const known = this.#types.get(type);
    if (!known) throw unknownType(type);
    const errors = known.check(payload);
    if (errors.length > 0)
      throw new Problem(400, 'invalid_payload', `This is no payload for ${type}.`, { errors });
  }

  #replace(rows: CommandTypeRow[]): void {
    this.#types = new Map(rows.map((row) => [row.type, this.#know(row)]));
  }

  #know(row: CommandTypeRow): KnownType {
    const source = JSON.stringify(row.payloadSchema);
    const known = this.#types.get(row.type);
    return known?.source === source ? known : { source, check: this.#compile(row) };
  }

  #compile(row: CommandTypeRow): PayloadCheck {
    try {
      return compilePayloadCheck(row.payloadSchema);
    } catch (error) {
      this.#log.error({ type: row.type, err: error }, 'a payload schema is broken: checks nothing');
      return () => [];
    }
  }
}

function unknownType(type: string): Problem {
  const detail = `There is no command type ${JSON.stringify(type.slice(0, 64))}.`;
  return new Problem(400, 'unknown_type', detail, { errors: [{ pointer: '#/type', detail }] });
}
