/**
 * Transport keys of one session and the three slots of a peer (whitepaper §6.3; spec H-2). Keys lie in linear memory,
 * where the AEAD reads them; everything else about a session is here.
 */
import * as c from './constants.ts';
import type { MemoryView } from './memory.ts';
import type { TunnelPeerState } from './peer.ts';
import { ReplayWindow } from './replay.ts';

/** Places for two keys each, in linear memory; a place that is given back is zeroed and used again. */
export class KeyMemory {
  readonly #memory: MemoryView;
  readonly #free: number[] = [];

  constructor(memory: MemoryView) {
    this.#memory = memory;
  }

  /** Copies both keys in and zeroes the arrays; answers where the first lies, the second follows it. */
  take(sendKey: Uint8Array, receiveKey: Uint8Array): number {
    const ptr = this.#free.pop() ?? this.#memory.reserve(2 * c.KEY_SIZE);
    this.#memory.u8.set(sendKey, ptr);
    this.#memory.u8.set(receiveKey, ptr + c.KEY_SIZE);
    sendKey.fill(0);
    receiveKey.fill(0);
    return ptr;
  }

  wipe(ptr: number): void {
    this.#memory.u8.fill(0, ptr, ptr + 2 * c.KEY_SIZE);
    this.#free.push(ptr);
  }
}

export class Keypair {
  readonly peer: TunnelPeerState;
  readonly initiator: boolean;
  readonly localIndex: number;
  readonly remoteIndex: number;
  /** Monotonic milliseconds. */
  readonly created: number;
  readonly sendKey: number;
  readonly receiveKey: number;
  readonly replay = new ReplayWindow();
  /** Next counter to send: low word, high word. A typed array, so that counting past 2^31 allocates nothing. */
  readonly counter = new Uint32Array(2);
  /** Cleared when our private key changes: the session may still be heard, but nothing more is said on it. */
  sending = true;

  constructor(
    peer: TunnelPeerState,
    session: { readonly initiator: boolean; readonly localIndex: number; readonly remoteIndex: number },
    keys: number,
    now: number,
  ) {
    this.peer = peer;
    this.initiator = session.initiator;
    this.localIndex = session.localIndex;
    this.remoteIndex = session.remoteIndex;
    this.created = now;
    this.sendKey = keys;
    this.receiveKey = keys + c.KEY_SIZE;
  }

  /** Counters stop 2^32 short of REJECT_AFTER_MESSAGES, so that one comparison covers a whole batch. */
  canSend(now: number): boolean {
    return this.sending && now - this.created < c.REJECT_AFTER_TIME && this.counter[1]! < c.REJECT_AFTER_MESSAGES_HI;
  }

  /** Whether a sender should renew the session: by messages in any role, by age only the initiator. */
  wantsRekeySending(now: number, rekeyAfterTime: number): boolean {
    return this.counter[1]! >= c.REKEY_AFTER_MESSAGES_HI || (this.initiator && now - this.created >= rekeyAfterTime);
  }
}

/** What `install` and `confirm` push out must be deleted by the caller. */
export class KeypairSlots {
  previous: Keypair | undefined;
  current: Keypair | undefined;
  /** A responder's new session, until the first packet on it proves that the initiator has it too. */
  next: Keypair | undefined;

  install(keypair: Keypair): Keypair[] {
    if (keypair.initiator) {
      // an unconfirmed session of the peer's making is kept for what it may still send on it
      const out = this.next === undefined ? [this.previous] : [this.previous, this.current];
      this.previous = this.next ?? this.current;
      this.next = undefined;
      this.current = keypair;
      return out.filter(isThere);
    }
    const out = [this.next, this.previous];
    this.next = keypair;
    this.previous = undefined;
    return out.filter(isThere);
  }

  /** The first packet on `next` has come. */
  confirm(): Keypair | undefined {
    const out = this.previous;
    this.previous = this.current;
    this.current = this.next;
    this.next = undefined;
    return out;
  }

  clear(): Keypair[] {
    const out = [this.previous, this.current, this.next];
    this.previous = undefined;
    this.current = undefined;
    this.next = undefined;
    return out.filter(isThere);
  }
}

function isThere(keypair: Keypair | undefined): keypair is Keypair {
  return keypair !== undefined;
}
