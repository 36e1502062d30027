/** The last so many bytes of a stream of any length. */
export class ByteTail {
  readonly #limit: number;
  readonly #chunks: Buffer[] = [];
  #held = 0;
  #dropped = false;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  push(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#held += bytes.length;
    // Whole chunks go, so up to one chunk more than the limit is held.
    while (this.#held - (this.#chunks[0] as Buffer).length >= this.#limit) {
      this.#held -= (this.#chunks.shift() as Buffer).length;
      this.#dropped = true;
    }
  }

  /** As UTF-8; where something was dropped, it begins with a whole line. */
  toString(): string {
    const text = Buffer.concat(this.#chunks).toString('utf8');
    return this.#dropped ? text.slice(text.indexOf('\n') + 1) : text;
  }
}
