// What processes take of the machine, from /proc (Linux).

import { readFileSync } from 'node:fs';

const TICKS_A_SECOND = 100;

/** CPU time of a process and all its threads so far, in ms; 0 when it is gone. */
export function cpuMs(pid: number): number {
  const fields = statOf(pid);
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_A_SECOND || 0;
}

/** The same of a process and its children, those that have ended included. */
export function familyCpuMs(pid: number): number {
  const fields = statOf(pid);
  const ended = ((Number(fields[13]) + Number(fields[14])) * 1_000) / TICKS_A_SECOND || 0;
  return cpuMs(pid) + ended + childrenOf(pid).reduce((sum, child) => sum + cpuMs(child), 0);
}

/** Memory that a process has in RAM, in MB; 0 when it is gone. */
export function residentMb(pid: number): number {
  const pages = Number(read(`/proc/${pid}/statm`).split(' ')[1]) || 0;
  return (pages * 4096) / 1e6;
}

function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
}

/** The fields from the third on: the second, a name in parentheses, may hold anything. */
function statOf(pid: number): string[] {
  const text = read(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(') ') + 2).split(' ');
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
