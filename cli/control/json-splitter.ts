/**
 * Cut a byte stream into JSON objects without parsing them: one object ends where its braces balance.
 * JSON-RPC 1.0 over a stream has no other framing; Go's client ends a request with a newline but need not.
 */

const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

export class JsonSplitter {
  private readonly limit: number;
  private held: Buffer[] = [];
  private heldBytes = 0;
  private depth = 0;
  private inString = false;
  private escaped = false;

  /** `limit`: bytes of one object. */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Whether part of an object is held. */
  get partial(): boolean {
    return this.depth > 0;
  }

  /** Complete objects so far, or undefined: not an object, or too long. After that the stream is lost. */
  push(chunk: Buffer): string[] | undefined {
    const complete: string[] = [];
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (this.depth === 0) {
        if (isBlank(byte)) continue;
        if (byte !== OPEN) return undefined;
        this.depth = 1;
        start = i;
        continue;
      }
      if (this.inString) {
        if (this.escaped) this.escaped = false;
        else if (byte === BACKSLASH) this.escaped = true;
        else if (byte === QUOTE) this.inString = false;
        continue;
      }
      if (byte === QUOTE) this.inString = true;
      else if (byte === OPEN || byte === OPEN_LIST) this.depth++;
      else if ((byte === CLOSE || byte === CLOSE_LIST) && --this.depth === 0) {
        const parts = [...this.held, chunk.subarray(start, i + 1)];
        this.held = [];
        this.heldBytes = 0;
        const object = Buffer.concat(parts);
        if (object.length > this.limit) return undefined;
        complete.push(object.toString('utf8'));
      }
    }
    if (this.depth > 0) {
      const rest = chunk.subarray(start);
      this.heldBytes += rest.length;
      if (this.heldBytes > this.limit) return undefined;
      this.held.push(Buffer.from(rest));
    }
    return complete;
  }
}
