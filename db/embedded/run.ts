// Runs one of Postgres's programs to its end.

import { spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

export interface Outcome {
  succeeded: boolean;
  stdout: string;
  /** What to tell a person when it failed. */
  reason: string;
}

/** Never throws: a program that cannot be started has failed too. */
export async function run(
  program: string,
  args: string[],
  options: SpawnOptions & { input?: string },
): Promise<Outcome> {
  const child = spawn(program, args, { ...options, stdio: 'pipe' });
  // A program that ends without reading its input is judged by its exit code.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  try {
    const [stdout, stderr, [code, signal]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    ]);
    const ending = signal ? `signal ${signal}` : `exit code ${code}`;
    return { succeeded: code === 0, stdout, reason: complaint(stderr) ?? ending };
  } catch (error) {
    return { succeeded: false, stdout: '', reason: (error as Error).message };
  }
}

/** What Postgres's output says is wrong, in one line. */
export function complaint(output: string): string | undefined {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const fatal = lines.findLastIndex((line) => /^(FATAL|PANIC):|: error:|: fatal:/i.test(line));
  const [said, more] = lines.slice(fatal);
  return more?.startsWith('DETAIL:') ? `${said} ${more}` : said;
}
