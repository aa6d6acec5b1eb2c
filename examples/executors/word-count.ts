// WORD_COUNT: counts the lines, words and bytes of a file on the agent's machine, as `wc` does.
//
// A type of one's own, to copy from. It runs where it is put: the one import is of types, which Node
// strips, so it may go, and so may its use below.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { ExecutorKit } from '../../agent/custom-executors.ts';

export default ({ defineExecutor, z }: ExecutorKit) =>
  defineExecutor({
    type: 'WORD_COUNT',
    description: "Counts the lines, words and bytes of a file on the agent's machine.",

    // Published as JSON Schema: the server refuses what does not match.
    payload: z.strictObject({
      path: z.string().min(1).max(4_096).describe('the file, from where the agent was started'),
    }),
    result: z.strictObject({
      lines: z.int().min(0),
      words: z.int().min(0),
      bytes: z.int().min(0),
    }),

    // One attempt. A command may ask for another time with its option timeoutMs.
    timeout: { defaultMs: 60_000 },

    async execute({ path }, { signal, progress, print }) {
      const { size } = await stat(path).catch(refuse);
      const counts = { lines: 0, words: 0, bytes: 0 };
      let inWord = false;

      // The signal ends the attempt when it is cancelled or took too long: the stream is closed then,
      // and the loop throws. What is thrown for any other reason fails the attempt, to be tried again.
      for await (const chunk of createReadStream(path, { signal })) {
        for (const byte of chunk as Buffer) {
          const isSpace = byte === 32 || (byte >= 9 && byte <= 13);
          if (byte === 10) counts.lines += 1;
          if (inWord && isSpace) counts.words += 1;
          inWord = !isSpace;
        }
        counts.bytes += (chunk as Buffer).length;
        progress(counts.bytes / size, `${counts.bytes} of ${size} bytes`);
      }
      if (inWord) counts.words += 1;
      print(`${path}: ${counts.words} words`);
      return counts;
    },
  });

/** Trying again would not help where there is no such file: the command fails at once. */
function refuse(error: Error): never {
  throw Object.assign(error, { retryable: false });
}
