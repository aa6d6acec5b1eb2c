// What the main thread and the lifeline's thread tell each other.

import type { AttemptKey, Beat, Identity, Subscription } from '../db/agents.ts';
import type { Registration } from './transports/http.ts';
import type { WorkBell } from './work-bell.ts';

/** What the main thread does: taken at one moment, so that all of it agrees. */
export interface AgentState extends Omit<Beat, keyof Subscription> {
  /** It runs nothing, and a claim of it waits at a server, which takes that for its sign of life. */
  waits: boolean;
}

/** Where the lifeline leads. */
export type LifelineTarget =
  | {
      /** Of the database: directly, or see lifeline-thread.ts for what is lost behind a pooler. */
      url: string;
      identity: Identity;
      subscription: Subscription;
    }
  | { serverUrl: string; registration: Registration };

export type LifelineSetup = LifelineTarget & {
  /** Tells the main thread that work may wait. */
  workBell: WorkBell;
};
export type PostgresLifelineSetup = Extract<LifelineSetup, { url: string }>;
export type HttpLifelineSetup = Extract<LifelineSetup, { serverUrl: string }>;

/**
 * Why an open lifeline is told of a state that it did not ask for: the ledger should know of it at once; or the
 * claim that it may have taken for a sign of life waits no more.
 */
export type Stir = 'beat' | 'busy';

/** What an open lifeline is told: a state that it asked for, or one that it should know of. */
export type MainThreadSays =
  | { kind: 'state' | Stir; state: AgentState }
  | { kind: 'heardOfCancels' };

/** What the main thread tells the lifeline. */
export type ToLifeline = MainThreadSays | { kind: 'open' } | { kind: 'close' };

/** What a logger's methods take. */
export type LogArguments = [fieldsOrText: unknown, text?: string];

/** What the lifeline tells the main thread. */
export type FromLifeline =
  | { kind: 'open' | 'ask' | 'superseded' }
  | { kind: 'revoked'; attempts: AttemptKey[] }
  | { kind: 'cancelled'; ids: string[] }
  | { kind: 'log'; level: 'debug' | 'info' | 'warn'; line: LogArguments };
