// The `:id` of a route: what is no id is no command either.

import { Problem } from './problem.ts';

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** @throws Problem 404. */
export function assertCommandId(id: string | undefined): string {
  if (!id || !UUID.test(id)) throw unknownCommand();
  return id;
}

export function unknownCommand(): Problem {
  const detail = 'There is no command with this id.';
  const errors = [{ pointer: '#/path/id', detail }];
  return new Problem(404, 'unknown_command', detail, { errors });
}
