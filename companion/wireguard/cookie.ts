/**
 * MAC1, MAC2 and cookies (whitepaper §5.3, §5.4.4, §5.4.7): the checker on the side of the receiver of a handshake
 * message, the generator on the side of its sender. Both messages, initiation and response, end in MAC1 and MAC2.
 */
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import * as c from './constants.ts';
import { equalMac, hash, mac } from './kdf.ts';
import { COOKIE_REPLY, field, newMessage, writeIndex } from './messages.ts';

const MAC_SIZE = 16;
const COOKIE_SIZE = 16;
const MAC1_LABEL = new TextEncoder().encode(c.LABEL_MAC1);
const COOKIE_LABEL = new TextEncoder().encode(c.LABEL_COOKIE);

function beforeMac1(message: Uint8Array): Uint8Array {
  return message.subarray(0, message.length - 2 * MAC_SIZE);
}

function mac1Of(message: Uint8Array): Uint8Array {
  return message.subarray(message.length - 2 * MAC_SIZE, message.length - MAC_SIZE);
}

function beforeMac2(message: Uint8Array): Uint8Array {
  return message.subarray(0, message.length - MAC_SIZE);
}

function mac2Of(message: Uint8Array): Uint8Array {
  return message.subarray(message.length - MAC_SIZE);
}

/** Checks what others send to us, and hands out cookies bound to their address and port. */
export class CookieChecker {
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  readonly #random: (n: number) => Uint8Array;
  #secret: Uint8Array | undefined;
  #secretMade = 0;

  /** `publicKey`: our own. */
  constructor(publicKey: Uint8Array, random: (n: number) => Uint8Array) {
    this.#mac1Key = hash(MAC1_LABEL, publicKey);
    this.#cookieKey = hash(COOKIE_LABEL, publicKey);
    this.#random = random;
  }

  checkMac1(message: Uint8Array): boolean {
    return equalMac(mac(this.#mac1Key, beforeMac1(message)), mac1Of(message));
  }

  /** `source`: 18 bytes, address and port: with the address alone, all behind one NAT would share a cookie. */
  checkMac2(message: Uint8Array, source: Uint8Array, mono: number): boolean {
    if (this.#secret === undefined || mono - this.#secretMade >= c.COOKIE_SECRET_LIFETIME) return false;
    return equalMac(mac(mac(this.#secret, source), beforeMac2(message)), mac2Of(message));
  }

  /** The 64 bytes that answer `message`, whose sender index is `senderIndex`. */
  createReply(message: Uint8Array, senderIndex: number, source: Uint8Array, mono: number): Uint8Array {
    if (this.#secret === undefined || mono - this.#secretMade >= c.COOKIE_SECRET_LIFETIME) {
      this.#secret?.fill(0);
      this.#secret = Uint8Array.from(this.#random(32));
      this.#secretMade = mono;
    }
    const nonce = this.#random(24);
    const reply = newMessage(c.MESSAGE_COOKIE_REPLY, c.COOKIE_REPLY_SIZE);
    writeIndex(reply, COOKIE_REPLY.receiver, senderIndex);
    reply.set(nonce, COOKIE_REPLY.nonce[0]);
    const cookie = mac(this.#secret, source);
    reply.set(xchacha20poly1305(this.#cookieKey, nonce, mac1Of(message)).encrypt(cookie), COOKIE_REPLY.cookie[0]);
    return reply;
  }

  wipe(): void {
    this.#secret?.fill(0);
    this.#secret = undefined;
  }
}

/** Signs what we send to one peer, with its cookie while we hold a fresh one. */
export class CookieGenerator {
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  #lastMac1: Uint8Array | undefined;
  #cookie: Uint8Array | undefined;
  #cookieReceived = 0;

  /** `publicKey`: the peer's. */
  constructor(publicKey: Uint8Array) {
    this.#mac1Key = hash(MAC1_LABEL, publicKey);
    this.#cookieKey = hash(COOKIE_LABEL, publicKey);
  }

  /** Writes MAC1 and MAC2 into the last 32 bytes. */
  addMacs(message: Uint8Array, mono: number): void {
    const mac1 = mac(this.#mac1Key, beforeMac1(message));
    message.set(mac1, message.length - 2 * MAC_SIZE);
    this.#lastMac1 = mac1;
    if (this.#cookie === undefined || mono - this.#cookieReceived >= c.COOKIE_SECRET_LIFETIME) return;
    message.set(mac(this.#cookie, beforeMac2(message)), message.length - MAC_SIZE);
  }

  /** Whether the reply belongs to our last message. Each message of ours can be answered by one cookie only. */
  consumeReply(reply: Uint8Array, mono: number): boolean {
    if (this.#lastMac1 === undefined) return false;
    try {
      const nonce = field(reply, COOKIE_REPLY.nonce);
      const opened = xchacha20poly1305(this.#cookieKey, nonce, this.#lastMac1).decrypt(
        field(reply, COOKIE_REPLY.cookie),
      );
      if (opened.length !== COOKIE_SIZE) return false;
      this.#cookie = opened;
    } catch {
      return false;
    }
    this.#cookieReceived = mono;
    this.#lastMac1 = undefined;
    return true;
  }

  wipe(): void {
    this.#cookie?.fill(0);
    this.#cookie = undefined;
    this.#lastMac1 = undefined;
  }
}
