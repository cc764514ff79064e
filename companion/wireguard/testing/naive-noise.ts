/**
 * IKpsk2 once more, from the Noise specification (rev. 34 §5.2, §5.3) alone and over node:crypto alone, as one object
 * that interprets the token list. It shares no line with `ikpsk2.ts`, and its only use is to disagree with it.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto';
import { nobleX25519 } from '../x25519.ts';

const HASHLEN = 32;
const PATTERN = [
  ['e', 'es', 's', 'ss'],
  ['e', 'ee', 'se', 'psk'],
];

export class NaiveNoise {
  h: Buffer;
  ck: Buffer;
  k: Buffer | undefined;
  n = 0n;
  readonly initiator: boolean;
  readonly s: Uint8Array;
  readonly e: Uint8Array;
  rs: Uint8Array | undefined;
  re: Uint8Array | undefined;
  readonly psk: Uint8Array;
  message = 0;

  constructor(o: {
    initiator: boolean;
    prologue: Uint8Array;
    s: Uint8Array;
    e: Uint8Array;
    rs?: Uint8Array;
    psk: Uint8Array;
  }) {
    const name = Buffer.from('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s');
    this.h = name.length <= HASHLEN ? Buffer.concat([name], HASHLEN) : this.#hash(name);
    this.ck = this.h;
    this.initiator = o.initiator;
    this.s = o.s;
    this.e = o.e;
    this.rs = o.rs;
    this.psk = o.psk;
    this.#mixHash(o.prologue);
    this.#mixHash(this.initiator ? this.rs! : nobleX25519.publicKey(this.s));
  }

  #hash(...parts: Uint8Array[]): Buffer {
    return createHash('blake2s256').update(Buffer.concat(parts)).digest();
  }

  #mixHash(data: Uint8Array): void {
    this.h = this.#hash(this.h, data);
  }

  hkdf(ikm: Uint8Array, outputs: number): Buffer[] {
    const prk = createHmac('blake2s256', this.ck).update(ikm).digest();
    const out: Buffer[] = [];
    for (let i = 1; i <= outputs; i++) {
      out.push(
        createHmac('blake2s256', prk)
          .update(Buffer.concat([out.at(-1) ?? Buffer.alloc(0), Buffer.of(i)]))
          .digest(),
      );
    }
    return out;
  }

  #mixKey(ikm: Uint8Array): void {
    [this.ck, this.k] = this.hkdf(ikm, 2) as [Buffer, Buffer];
    this.n = 0n;
  }

  #nonce(): Buffer {
    const nonce = Buffer.alloc(12);
    nonce.writeBigUInt64LE(this.n++, 4);
    return nonce;
  }

  #encryptAndHash(plaintext: Uint8Array): Buffer {
    const cipher = createCipheriv('chacha20-poly1305', this.k!, this.#nonce(), { authTagLength: 16 });
    cipher.setAAD(this.h, { plaintextLength: plaintext.length });
    const out = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    this.#mixHash(out);
    return out;
  }

  #decryptAndHash(ciphertext: Uint8Array): Buffer {
    const decipher = createDecipheriv('chacha20-poly1305', this.k!, this.#nonce(), { authTagLength: 16 });
    decipher.setAAD(this.h, { plaintextLength: ciphertext.length - 16 });
    decipher.setAuthTag(ciphertext.subarray(-16));
    const out = Buffer.concat([decipher.update(ciphertext.subarray(0, -16)), decipher.final()]);
    this.#mixHash(ciphertext);
    return out;
  }

  #dh(token: string): Uint8Array {
    const [first, second] = token as unknown as [string, string];
    const mine = this.initiator ? first : second;
    const theirs = this.initiator ? second : first;
    return nobleX25519.sharedSecret(mine === 'e' ? this.e : this.s, (theirs === 'e' ? this.re : this.rs)!)!;
  }

  #common(token: string): void {
    if (token === 'psk') {
      const [ck, tau, k] = this.hkdf(this.psk, 3) as [Buffer, Buffer, Buffer];
      this.ck = ck;
      this.#mixHash(tau);
      this.k = k;
      this.n = 0n;
    } else this.#mixKey(this.#dh(token));
  }

  write(payload: Uint8Array): Buffer {
    const parts: Uint8Array[] = [];
    for (const token of PATTERN[this.message++]!) {
      if (token === 'e') {
        const e = nobleX25519.publicKey(this.e);
        parts.push(e);
        this.#mixHash(e);
        this.#mixKey(e);
      } else if (token === 's') parts.push(this.#encryptAndHash(nobleX25519.publicKey(this.s)));
      else this.#common(token);
    }
    parts.push(this.#encryptAndHash(payload));
    return Buffer.concat(parts);
  }

  read(message: Uint8Array): Buffer {
    let at = 0;
    for (const token of PATTERN[this.message++]!) {
      if (token === 'e') {
        this.re = message.subarray(at, at + 32);
        at += 32;
        this.#mixHash(this.re);
        this.#mixKey(this.re);
      } else if (token === 's') {
        this.rs = this.#decryptAndHash(message.subarray(at, at + 48));
        at += 48;
      } else this.#common(token);
    }
    return this.#decryptAndHash(message.subarray(at));
  }

  /** Initiator's sending key, responder's sending key. */
  split(): Buffer[] {
    return this.hkdf(new Uint8Array(0), 2);
  }
}
