// Checks payloads, or results, against the schemas in `executor.command_types`, without a query a request.
//
// The compiled schemas are read again when they are older than a few seconds, or when a type is
// unknown, which may be one published a moment ago. One read at a time serves all who wait, and it
// begins after they came (that is what the Batcher gives). Without requests nothing is read.
//
// A schema that does not compile checks nothing: its commands are accepted, as they are from psql,
// and the agent's own check decides. The log says so once.

import type { CommandTypeDefinition } from '../db/command-types.ts';
import { Batcher } from '../db/batcher.ts';
import type { Logger } from '../runtime/log.ts';
import { compilePayloadCheck, type PayloadCheck } from './payload-schema.ts';
import { type Fault, Problem } from './problem.ts';

const MAX_AGE_MS = 5_000;
const MAX_WAITING = 10_000;

interface KnownType {
  /** The schema's text: what it was compiled from. */
  source: string;
  check: PayloadCheck;
}

export class Payloads {
  readonly #log: Logger;
  readonly #member: 'payload' | 'result';
  readonly #reads: Batcher<string, string>;
  #types = new Map<string, KnownType>();
  #readAtMs = -Infinity;

  /** `member`: which of a type's two schemas this is about. */
  constructor(
    readTypes: () => Promise<CommandTypeDefinition[]>,
    log: Logger,
    member: 'payload' | 'result' = 'payload',
  ) {
    this.#log = log;
    this.#member = member;
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

  /** Whether this type is known, from schemas that are not old. */
  knows(type: string): boolean {
    return this.#types.has(type) && performance.now() - this.#readAtMs < MAX_AGE_MS;
  }

  /** Reads the schemas again if they are old, or if one of these types is not known. */
  async look(types: Iterable<string>): Promise<void> {
    const unknown = Array.from(types).filter((type) => !this.knows(type));
    if (unknown.length > 0) await Promise.all(unknown.map((type) => this.#reads.add(type)));
  }

  /**
   * To be called after `look`.
   *
   * @throws Problem 400: unknown type, or a payload that the type's schema does not allow.
   */
  assertValid(type: string, payload: object): void {
    const known = this.#types.get(type);
    if (!known) throw unknownType(type);
    const errors = known.check(payload);
    if (errors.length > 0)
      throw new Problem(400, 'invalid_payload', `This is no payload for ${type}.`, { errors });
  }

  /** The same for what may be of an unknown type, which then allows anything: what is wrong with it. */
  faults(type: string, value: unknown): Fault[] {
    return this.#types.get(type)?.check(value) ?? [];
  }

  #replace(rows: CommandTypeDefinition[]): void {
    this.#types = new Map(rows.map((row) => [row.type, this.#know(row)]));
  }

  #know(row: CommandTypeDefinition): KnownType {
    const schema = this.#member === 'payload' ? row.payloadSchema : row.resultSchema;
    const source = JSON.stringify(schema);
    const known = this.#types.get(row.type);
    return known?.source === source ? known : { source, check: this.#compile(row.type, schema) };
  }

  #compile(type: string, schema: object): PayloadCheck {
    try {
      return compilePayloadCheck(schema, this.#member);
    } catch (error) {
      this.#log.error({ type, err: error }, `a ${this.#member} schema is broken: checks nothing`);
      return () => [];
    }
  }
}

function unknownType(type: string): Problem {
  const detail = `There is no command type ${JSON.stringify(type.slice(0, 64))}.`;
  return new Problem(400, 'unknown_type', detail, { errors: [{ pointer: '#/type', detail }] });
}
