// What a program writes, in bounded memory: its last bytes to keep, and its lines as they come.

/** Keeps the last `maxBytes`: how a program ended matters more than how it began. */
export class Tail {
  readonly #maxBytes: number;
  #buffer = Buffer.alloc(0);
  #length = 0;
  #isCut = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  add(chunk: Uint8Array): void {
    if (this.#length + chunk.length > this.#buffer.length) this.#makeRoom(chunk.length);
    const fitting = chunk.subarray(Math.max(0, chunk.length - this.#maxBytes));
    this.#buffer.set(fitting, this.#length);
    this.#length += fitting.length;
    if (fitting.length < chunk.length || this.#length > this.#maxBytes) this.#isCut = true;
  }

  /** As UTF-8, invalid bytes as U+FFFD; a cut text begins with a whole character. */
  text(): string {
    let start = Math.max(0, this.#length - this.#maxBytes);
    if (this.#isCut) start += continuationBytes(this.#buffer.subarray(start, this.#length));
    return this.#buffer.toString('utf8', start, this.#length);
  }

  /** Up to twice of what is kept is held, so that bytes are moved once in `maxBytes`, not each time. */
  #makeRoom(bytes: number): void {
    const start = Math.max(0, this.#length + bytes - this.#maxBytes);
    const kept = this.#buffer.subarray(Math.min(start, this.#length), this.#length);
    const wanted = Math.max(4_096, 2 * (kept.length + Math.min(bytes, this.#maxBytes)));
    const buffer = Buffer.allocUnsafe(Math.min(wanted, 2 * this.#maxBytes));
    buffer.set(kept);
    this.#buffer = buffer;
    this.#isCut ||= kept.length < this.#length;
    this.#length = kept.length;
  }
}

/** As many lines as a command's log takes, and as much of each. */
const MOST_LINES = 1_001;
const LINE_CHARACTERS = 2_001;

/** Hands on what a program writes line by line, until there were as many as a command's log takes. */
export class Lines {
  readonly #print: (line: string) => void;
  readonly #decoder = new TextDecoder();
  #line = '';
  #left = MOST_LINES;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  add(chunk: Uint8Array): void {
    // A program that writes for ever is not to cost more than the bytes that it writes.
    if (this.#left > 0) this.#split(this.#decoder.decode(chunk, { stream: true }));
  }

  /** A last line need not be ended. */
  end(): void {
    if (this.#left === 0) return;
    this.#split(this.#decoder.decode());
    if (this.#line !== '') this.#endLine();
  }

  #split(text: string): void {
    let start = 0;
    for (;;) {
      const end = text.indexOf('\n', start);
      this.#grow(end < 0 ? text.slice(start) : text.slice(start, end));
      if (end < 0 || this.#left === 0) return;
      this.#endLine();
      start = end + 1;
    }
  }

  #grow(text: string): void {
    if (this.#line.length < LINE_CHARACTERS)
      this.#line += text.slice(0, LINE_CHARACTERS - this.#line.length);
  }

  #endLine(): void {
    this.#print(this.#line.endsWith('\r') ? this.#line.slice(0, -1) : this.#line);
    this.#line = '';
    this.#left -= 1;
  }
}

function continuationBytes(bytes: Uint8Array): number {
  let count = 0;
  while (count < 3 && ((bytes[count] ?? 0) & 0b1100_0000) === 0b1000_0000) count += 1;
  return count;
}
