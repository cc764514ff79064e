// A pull reader for JSON (RFC 8259), strict: the caller asks for what must come next, and the first thing that is otherwise
// sets `error` and makes everything after it fail too.

/** A guard, not a format rule: 1 Mi UTF-16 units hold some fifty thousand prefixes. */
const MAX_UNITS = 1 << 20;

export class JsonReader {
  /** What was wrong and where, empty while all is well. */
  error: string = '';
  private at: i32 = 0;

  constructor(private text: string) {
    if (text.length > MAX_UNITS) this.fail('longer than ' + MAX_UNITS.toString() + ' characters');
  }

  fail(reason: string): void {
    if (this.error.length == 0) this.error = reason;
  }

  get ok(): bool {
    return this.error.length == 0;
  }

  private peek(): i32 {
    while (this.at < this.text.length) {
      const unit = this.text.charCodeAt(this.at);
      if (unit != 0x20 && unit != 0x0a && unit != 0x0d && unit != 0x09) return unit;
      this.at++;
    }
    return -1;
  }

  /** Takes the punctuation mark if it is next. */
  accept(mark: i32): bool {
    if (!this.ok || this.peek() != mark) return false;
    this.at++;
    return true;
  }

  /** Takes the punctuation mark, which must be next. */
  expect(mark: i32): void {
    if (!this.accept(mark)) this.fail('expected ' + String.fromCharCode(mark) + ' at character ' + this.at.toString());
  }

  /** Nothing but white space may be left. */
  end(): void {
    if (this.ok && this.peek() != -1) this.fail('text after the end at character ' + this.at.toString());
  }

  /** A string, escapes resolved; '' after an error. */
  string(): string {
    if (!this.ok) return '';
    if (this.peek() != 0x22) {
      this.fail('expected a string at character ' + this.at.toString());
      return '';
    }
    const open = this.at++;
    let out = '';
    let plain = this.at;
    while (this.at < this.text.length) {
      const unit = this.text.charCodeAt(this.at);
      if (unit == 0x22) {
        out += this.text.substring(plain, this.at++);
        return out;
      }
      if (unit < 0x20) break;
      if (unit == 0x5c) {
        out += this.text.substring(plain, this.at++);
        const resolved = this.escape();
        if (resolved < 0) break;
        out += String.fromCharCode(resolved);
        plain = this.at;
      } else {
        this.at++;
      }
    }
    this.fail('bad string at character ' + open.toString());
    return '';
  }

  /** The UTF-16 unit of the escape whose letter is next, or -1. */
  private escape(): i32 {
    if (this.at >= this.text.length) return -1;
    switch (this.text.charCodeAt(this.at++)) {
      case 0x22:
        return 0x22;
      case 0x5c:
        return 0x5c;
      case 0x2f:
        return 0x2f;
      case 0x62:
        return 8;
      case 0x66:
        return 12;
      case 0x6e:
        return 10;
      case 0x72:
        return 13;
      case 0x74:
        return 9;
      case 0x75:
        return this.hex4();
      default:
        return -1;
    }
  }

  private hex4(): i32 {
    if (this.at + 4 > this.text.length) return -1;
    let value = 0;
    for (let i = 0; i < 4; i++) {
      const unit: u32 = this.text.charCodeAt(this.at++);
      let digit: u32 = unit - 0x30;
      if (digit > 9) {
        digit = (unit | 0x20) - 0x61;
        if (digit > 5) return -1;
        digit += 10;
      }
      value = (value << 4) | digit;
    }
    return value;
  }

  /** An array of strings. */
  strings(): string[] {
    const out: string[] = [];
    this.expect(0x5b /* [ */);
    if (this.accept(0x5d /* ] */)) return out;
    while (this.ok) {
      out.push(this.string());
      if (this.accept(0x5d)) return out;
      this.expect(0x2c /* , */);
    }
    return out;
  }
}
