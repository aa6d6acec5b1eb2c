// How an agent reaches the ledger: straight to Postgres, or over HTTP through a server.

import type {
  AgentInfo,
  Answer,
  AttemptKey,
  ProgressAnswer,
  ProgressReport,
  Report,
} from '../../db/agents.ts';
import type { CommandTypeDefinition } from '../../db/command-types.ts';
import type { ClaimedCommand } from '../../db/queue.ts';

export interface Transport {
  /**
   * Starts the session, and makes types of the agent's own known; answers how many commands an older
   * session of this id gave back.
   */
  register(info: AgentInfo, ownTypes: CommandTypeDefinition[]): Promise<number>;
  /** The highest claim number below which no claim's reply is outstanding. */
  readonly settledClaimNo: number;
  /** Claims at most `limit` ready commands. One claim at a time. */
  claim(limit: number): Promise<ClaimedCommand[]>;
  /** Answers in order; all or nothing when it throws. */
  finish(reports: Report[]): Promise<Answer[]>;
  /** Says how far attempts are, each at most once; answers in order; all or nothing when it throws. */
  reportProgress(reports: ProgressReport[]): Promise<ProgressAnswer[]>;
  release(claims: AttemptKey[]): Promise<Answer[]>;
  signOff(): Promise<void>;
  close(): Promise<void>;
}
