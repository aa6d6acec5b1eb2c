// Reads a body of unknown length, such as an endless or a compressed one, in bounded memory.

export interface BoundedBody {
  /** As UTF-8, invalid bytes as U+FFFD; a cut body ends with the last whole character. */
  text: string;
  /** How many bytes were kept. */
  bytes: number;
  truncated: boolean;
}

/**
 * Keeps the first `maxBytes` and cancels the rest. Compressed data that just ends is not noticed:
 * fetch, like browsers, hands over what there was.
 *
 * @throws what ends the stream early: a lost connection, an abort, broken compression.
 */
export async function readBody(
  body: AsyncIterable<Uint8Array> | null,
  maxBytes: number,
): Promise<BoundedBody> {
  if (body === null) return { text: '', bytes: 0, truncated: false };
  // Copied, since a chunk of one byte may hold on to a buffer of 64 KB.
  const kept = Buffer.allocUnsafe(maxBytes);
  let bytes = 0;
  let truncated = false;
  for await (const chunk of body) {
    const fitting = chunk.subarray(0, maxBytes - bytes);
    kept.set(fitting, bytes);
    bytes += fitting.length;
    truncated = fitting.length < chunk.length;
    // Leaving the loop cancels the stream, and with it the connection.
    if (truncated) break;
  }
  // `stream` means that more may follow: an incomplete character at the end is kept back.
  const text = new TextDecoder().decode(kept.subarray(0, bytes), { stream: truncated });
  return { text, bytes, truncated };
}
