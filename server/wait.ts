// Requests that are held until their command has finished.

import type { ParameterizedContext } from 'koa';
import { z } from 'zod';
import { type CommandVersion, isFinished } from '../db/command-json.ts';
import type { FollowedCommands } from './followed-commands.ts';
import type { Following } from './following.ts';
import { released } from './gone.ts';
import { Problem } from './problem.ts';
import { parseQuery } from './query.ts';

export const LONGEST_SECONDS = 60;

/** What is new has hardly finished. Looking a little later leaves the machine to who executes it. */
const NEW_MS = 25;

const EXPECTED = `expected a whole number of seconds from 0 to ${LONGEST_SECONDS}`;

const seconds = z
  .string()
  .regex(/^\d{1,4}$/, EXPECTED)
  .transform(Number)
  .pipe(z.number().max(LONGEST_SECONDS, EXPECTED));

export const waitQuery = z.strictObject({ wait: seconds.exactOptional() });

/**
 * How many seconds a request may be held: `?wait=N`, else `Prefer: wait=N`; undefined unless asked.
 *
 * @throws Problem 400, for any other parameter too.
 */
export function readWait(ctx: ParameterizedContext): number | undefined {
  if (ctx.querystring === '' && !('prefer' in ctx.req.headers)) return undefined;
  const { wait } = parseQuery(waitQuery, ctx.querystring);
  return wait ?? preferredWait(ctx.get('Prefer'));
}

/** Answers a submission with the finished command, unless that takes longer; then as it is. */
export async function waitToAnswer(
  ctx: ParameterizedContext,
  following: Following,
  { id, seconds, isNew }: { id: string; seconds: number; isNew: boolean },
): Promise<void> {
  const done = await finished(following.commands, id, {
    ms: seconds * 1_000,
    lookAfterMs: isNew ? NEW_MS : 0,
    signal: released(ctx, following),
  });
  if (!done) return;
  ctx.status = 200;
  ctx.set('Preference-Applied', `wait=${seconds}`);
  ctx.body = { ...done.command, commandId: id };
}

interface Wait {
  ms: number;
  /** When to look whether it has finished already: from the start on changes are heard of. */
  lookAfterMs?: number;
  signal: AbortSignal;
}

/**
 * Resolves with the command once it has finished, or with undefined: the time is up, nobody waits for
 * the answer any more, or there is no such command.
 */
export async function finished(
  commands: FollowedCommands,
  id: string,
  { ms, lookAfterMs = 0, signal }: Wait,
): Promise<CommandVersion | undefined> {
  const { promise, resolve } = Promise.withResolvers<CommandVersion | undefined>();
  const look = (version: CommandVersion | undefined) => {
    if (!version || isFinished(version.command)) resolve(version);
  };
  const giveUp = () => resolve(undefined);
  const unfollow = commands.follow(id, look);
  // When it cannot be read now, it is read again soon.
  const lookNow = () => void commands.read(id).then(look, () => {});
  const timers = [setTimeout(giveUp, ms), setTimeout(lookNow, lookAfterMs)];
  signal.addEventListener('abort', giveUp);
  try {
    return signal.aborted ? undefined : await promise;
  } finally {
    unfollow();
    for (const timer of timers) clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
  }
}

// RFC 7240. Of several the first counts, and parameters after a semicolon mean nothing here.
function preferredWait(header: string): number | undefined {
  for (const preference of header.split(',')) {
    const [name = '', value = ''] = (preference.split(';', 1)[0] ?? '').split('=');
    if (name.trim().toLowerCase() !== 'wait') continue;
    const parsed = seconds.safeParse(value.trim().replace(/^"(.*)"$/, '$1'));
    if (parsed.success) return parsed.data;
    const errors = [{ pointer: '#/header/prefer', detail: EXPECTED }];
    throw new Problem(400, 'invalid_preference', 'The preference is not valid.', { errors });
  }
  return undefined;
}
