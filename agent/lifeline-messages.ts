// What the main thread and the lifeline's thread tell each other.

import type { AttemptKey, Beat, Identity, Subscription } from '../db/agents.ts';

/** What the main thread runs: taken at one moment, so that both halves agree. */
export type AgentState = Omit<Beat, keyof Subscription>;

export interface LifelineSetup {
  url: string;
  identity: Identity;
  subscription: Subscription;
  /** 1 while the main thread has yet to hear that work waits: one such message is enough. */
  workTold: Int32Array<SharedArrayBuffer>;
}

/** What the main thread tells the lifeline: `beat` is a state that the ledger should know of at once. */
export type ToLifeline =
  | { kind: 'state' | 'beat'; state: AgentState }
  | { kind: 'heardOfCancels' }
  | { kind: 'open' }
  | { kind: 'close' };

/** What a logger's methods take. */
export type LogArguments = [fieldsOrText: unknown, text?: string];

/** What the lifeline tells the main thread. */
export type FromLifeline =
  | { kind: 'open' | 'ask' | 'work' | 'superseded' }
  | { kind: 'revoked'; attempts: AttemptKey[] }
  | { kind: 'cancelled'; ids: string[] }
  | { kind: 'log'; level: 'debug' | 'info' | 'warn'; line: LogArguments };
