// How an agent reaches the ledger: straight to Postgres, or over HTTP through a server.

import type {
  AgentInfo,
  Answer,
  GivenBack,
  ProgressAnswer,
  ProgressReport,
  Report,
} from '../../db/agents.ts';
import type { CommandTypeDefinition } from '../../db/command-types.ts';
import type { ClaimedCommand } from '../../db/claim.ts';
import type { Demand } from '../claimer.ts';

export interface Transport {
  /**
   * Starts the session, and makes types of the agent's own known; answers how many commands an older
   * session of this id gave back.
   */
  register(info: AgentInfo, ownTypes: CommandTypeDefinition[]): Promise<number>;
  /** The highest claim number below which no claim's reply is outstanding. */
  readonly settledClaimNo: number;
  /**
   * Its claims wait for work, so that the next can follow at once; after one that failed or did not wait
   * it follows in about so many ms. undefined: claims answer at once, and the lifeline says when to claim.
   */
  readonly pollIntervalMs: number | undefined;
  /** Whether a claim is waiting at a server, which takes that for a sign of life. */
  readonly isWaiting: boolean;
  /** Whether what is claimed may wait for a slot: see Lookahead. */
  readonly mayClaimAhead: boolean;
  /**
   * Claims at most `limit` ready commands, of which `ahead` will have to wait for a slot; answers them in the
   * order in which to begin. One claim at a time.
   */
  claim(demand: Demand): Promise<ClaimedCommand[]>;
  /** Has a claim that waits answer at once that there is nothing. */
  endClaim(): void;
  /** Of this session, or of an earlier one of this agent. Answers in order; all or nothing when it throws. */
  finish(reports: Report[], session?: string): Promise<Answer[]>;
  /** Says how far attempts are, each at most once; answers in order; all or nothing when it throws. */
  reportProgress(reports: ProgressReport[]): Promise<ProgressAnswer[]>;
  release(claims: GivenBack[]): Promise<Answer[]>;
  signOff(): Promise<void>;
  close(): Promise<void>;
}
