// What the backlog bench asks of a subject: to be filled by the million, and to claim.

import type { Client } from 'pg';
import type { Peer } from '../peers/peer.ts';

export interface Queue {
  subject: string;
  peer: Peer;
  /** Tables whose statistics a claim depends on. */
  tables: string[];
  /** Adds jobs that wait, of five priorities, and others that are deferred by a day, in SQL. */
  fill(client: Client, waiting: number, deferred: number): Promise<void>;
  /** @param size how many jobs a claim takes. */
  open(url: string, size: number): Promise<Claimer>;
}

export interface Claimer {
  /** Claims; answers how many it got. */
  claim(): Promise<number>;
  /** Finishes what was claimed. */
  finish(): Promise<void>;
  /** Submits as many as a claim takes. */
  refill(): Promise<void>;
  close(): Promise<void>;
}
