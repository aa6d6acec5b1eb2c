// Turns a JSON Schema (draft 2020-12) from the database into a check of payloads or results.
//
// Two compilers: the first stops at the first fault, which is all that a good payload needs and all
// that a large bad one deserves; only a small bad one is checked again for everything that is
// wrong, so that a body of a megabyte cannot make a hundred megabytes of errors.

import { Ajv2020, type ErrorObject, type Options, type ValidateFunction } from 'ajv/dist/2020.js';
import { jsonPointer, pointerSegments } from './json-pointer.ts';
import type { Fault } from './problem.ts';

/** What is wrong with a payload or result; nothing when it's fine. */
export type PayloadCheck = (value: unknown) => Fault[];

const SMALL_LENGTH = 16 * 1024;

// Schemas come from any language: unknown keywords and formats are theirs, and no error of ours.
const options: Options = {
  strict: false,
  logger: false,
  formats: { uri: (text: string) => URL.canParse(text) },
};
const quickly = new Ajv2020(options);
const thoroughly = new Ajv2020({ ...options, allErrors: true });

/**
 * @param member what the value is called in requests: pointers start with it.
 * @throws Error when this is no schema, or one that needs what is not here.
 */
export function compilePayloadCheck(
  schema: object,
  member: 'payload' | 'result' = 'payload',
): PayloadCheck {
  const firstFault = compile(quickly, schema);
  const everyFault = compile(thoroughly, schema);
  return (value) => {
    if (firstFault(value)) return [];
    const isSmall = JSON.stringify(value).length <= SMALL_LENGTH;
    if (isSmall) everyFault(value);
    const errors = (isSmall && everyFault.errors) || firstFault.errors || [];
    return errors.map((error) => toFault(error, member));
  };
}

// The compiler forgets the schema: the next version of it has the same $id.
function compile(ajv: Ajv2020, schema: object): ValidateFunction {
  try {
    const validate = ajv.compile(schema);
    if ('$async' in validate) throw new Error('asynchronous schemas are not supported');
    return validate;
  } finally {
    ajv.removeSchema(schema);
  }
}

function toFault(error: ErrorObject, member: string): Fault {
  const at = [member, ...pointerSegments(error.instancePath)];
  const { missingProperty, additionalProperty, unevaluatedProperty } = error.params;
  const unknown: unknown = additionalProperty ?? unevaluatedProperty;
  if (typeof missingProperty === 'string')
    return { pointer: jsonPointer([...at, missingProperty]), detail: 'missing' };
  if (typeof unknown === 'string')
    return { pointer: jsonPointer([...at, unknown]), detail: 'unknown' };
  return { pointer: jsonPointer(at), detail: error.message ?? 'not valid' };
}
