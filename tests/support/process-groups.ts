// Who is in a process group, for tests of what is killed with it. Linux only.

import { readdirSync, readFileSync } from 'node:fs';
import { expect, vi } from 'vitest';

/** The living processes of a group. A zombie, which nobody has asked for its exit code, is not one. */
export function membersOf(group: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const { state, pgrp } = statOf(pid);
      return pgrp === group && state !== 'Z';
    });
}

/** The processes that a process has started, with their command lines. */
export function childrenOf(parent: number): { pid: number; commandLine: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && statOf(Number(name)).ppid === parent)
    .map((name) => ({ pid: Number(name), commandLine: read(`/proc/${name}/cmdline`) }));
}

/** Waits until nothing of a group is left: what was killed takes a moment to be gone. */
export async function expectGone(group: number): Promise<void> {
  expect(group).toBeGreaterThan(1);
  await vi.waitFor(() => expect(membersOf(group)).toEqual([]), { timeout: 5_000, interval: 10 });
}

function statOf(pid: number) {
  // The name, in parentheses, may hold anything.
  const [state, ppid, pgrp] = read(`/proc/${pid}/stat`).split(') ').at(-1)!.split(' ');
  return { state, ppid: Number(ppid), pgrp: Number(pgrp) };
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
