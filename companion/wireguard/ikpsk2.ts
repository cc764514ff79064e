/**
 * The Noise pattern IKpsk2 by itself (Noise specification rev. 34 §5, §7.5, §9), with Curve25519, ChaCha20-Poly1305 and
 * BLAKE2s; WireGuard's prologue and payloads come in as arguments, so that foreign Noise vectors can judge it.
 *
 *     <- s
 *     -> e, es, s, ss      writeInitiation / readInitiation
 *     <- e, ee, se, psk    writeResponse / readResponse
 *
 * Each write and read works on a state of its own and answers a new one; a caller that gets undefined has lost nothing.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { CONSTRUCTION, TAG_SIZE } from './constants.ts';
import { hash, kdf2, kdf3 } from './kdf.ts';
import type { X25519 } from './x25519.ts';

// Every MixKey resets n and every key encrypts once in this pattern, so the nonce is always zero.
const NONCE = new Uint8Array(12);
const NAME_HASH = hash(new TextEncoder().encode(CONSTRUCTION));

/** Noise §5.2: the transcript hash h, the chaining key ck and the cipher key k, each 32 bytes. */
export class SymmetricState {
  hash: Uint8Array;
  chainKey: Uint8Array;
  #key: Uint8Array = new Uint8Array(32);

  constructor(transcript: Uint8Array, chainKey: Uint8Array) {
    this.hash = transcript;
    this.chainKey = chainKey;
  }

  /** The state before the first message, the responder's static key mixed in as the pre-message. */
  static initialize(prologue: Uint8Array, responderStatic: Uint8Array): SymmetricState {
    const state = new SymmetricState(Uint8Array.from(NAME_HASH), Uint8Array.from(NAME_HASH));
    state.mixHash(prologue);
    state.mixHash(responderStatic);
    return state;
  }

  clone(): SymmetricState {
    return new SymmetricState(Uint8Array.from(this.hash), Uint8Array.from(this.chainKey));
  }

  mixHash(data: Uint8Array): void {
    this.hash = hash(this.hash, data);
  }

  mixKey(input: Uint8Array): void {
    const [chainKey, key] = kdf2(this.chainKey, input);
    this.#replace(chainKey, key);
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [chainKey, tau, key] = kdf3(this.chainKey, input);
    this.#replace(chainKey, key);
    this.mixHash(tau);
    tau.fill(0);
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = chacha20poly1305(this.#key, NONCE, this.hash).encrypt(plaintext);
    this.mixHash(ciphertext);
    return ciphertext;
  }

  /** Undefined, and the state unchanged, when the tag does not verify. */
  decryptAndHash(ciphertext: Uint8Array): Uint8Array | undefined {
    let plaintext: Uint8Array;
    try {
      plaintext = chacha20poly1305(this.#key, NONCE, this.hash).decrypt(ciphertext);
    } catch {
      return undefined;
    }
    this.mixHash(ciphertext);
    return plaintext;
  }

  /** Noise Split: the initiator's sending key, then the responder's. */
  split(): [Uint8Array, Uint8Array] {
    return kdf2(this.chainKey, new Uint8Array(0));
  }

  wipe(): void {
    this.hash.fill(0);
    this.chainKey.fill(0);
    this.#key.fill(0);
  }

  #replace(chainKey: Uint8Array, key: Uint8Array): void {
    this.chainKey.fill(0);
    this.#key.fill(0);
    this.chainKey = chainKey;
    this.#key = key;
  }
}

export interface KeyPair {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** e, es, s, ss. `staticStatic`: DH of both static keys, computed once per peer. Undefined: a low-order `remoteStatic`. */
export function writeInitiation(
  dh: X25519,
  prologue: Uint8Array,
  local: KeyPair,
  remoteStatic: Uint8Array,
  staticStatic: Uint8Array,
  ephemeral: KeyPair,
  payload: Uint8Array,
): { state: SymmetricState; encryptedStatic: Uint8Array; encryptedPayload: Uint8Array } | undefined {
  const es = dh.sharedSecret(ephemeral.privateKey, remoteStatic);
  if (es === undefined) return undefined;
  const state = SymmetricState.initialize(prologue, remoteStatic);
  state.mixHash(ephemeral.publicKey);
  state.mixKey(ephemeral.publicKey); // psk handshakes mix e into the key as well (Noise §9.2)
  state.mixKey(es);
  es.fill(0);
  const encryptedStatic = state.encryptAndHash(local.publicKey);
  state.mixKey(staticStatic);
  return { state, encryptedStatic, encryptedPayload: state.encryptAndHash(payload) };
}

export type ReadInitiation =
  | {
      readonly ok: true;
      readonly remoteStatic: Uint8Array;
      /** Second half: needs the DH of both static keys, so that a stranger costs one DH only; without one it just wipes. */
      readonly finish: (
        staticStatic: Uint8Array | undefined,
      ) => { state: SymmetricState; payload: Uint8Array } | undefined;
    }
  | { readonly ok: false; readonly error: 'low-order' | 'handshake-tag' };

export function readInitiation(
  dh: X25519,
  prologue: Uint8Array,
  local: KeyPair,
  ephemeral: Uint8Array,
  encryptedStatic: Uint8Array,
  encryptedPayload: Uint8Array,
): ReadInitiation {
  const es = dh.sharedSecret(local.privateKey, ephemeral);
  if (es === undefined) return { ok: false, error: 'low-order' };
  const state = SymmetricState.initialize(prologue, local.publicKey);
  state.mixHash(ephemeral);
  state.mixKey(ephemeral);
  state.mixKey(es);
  es.fill(0);
  const remoteStatic = state.decryptAndHash(encryptedStatic);
  if (remoteStatic === undefined) {
    state.wipe();
    return { ok: false, error: 'handshake-tag' };
  }
  return {
    ok: true,
    remoteStatic,
    finish(staticStatic) {
      if (staticStatic !== undefined) state.mixKey(staticStatic);
      const payload = staticStatic && state.decryptAndHash(encryptedPayload);
      if (payload === undefined) {
        state.wipe();
        return undefined;
      }
      return { state, payload };
    },
  };
}

/** e, ee, se, psk. Consumes `state`. Undefined: one of the initiator's keys is a low-order point. */
export function writeResponse(
  dh: X25519,
  state: SymmetricState,
  remoteEphemeral: Uint8Array,
  remoteStatic: Uint8Array,
  ephemeral: KeyPair,
  presharedKey: Uint8Array,
  payload: Uint8Array,
): { state: SymmetricState; encryptedPayload: Uint8Array } | undefined {
  const ee = dh.sharedSecret(ephemeral.privateKey, remoteEphemeral);
  const se = dh.sharedSecret(ephemeral.privateKey, remoteStatic);
  if (ee === undefined || se === undefined) {
    state.wipe();
    return undefined;
  }
  state.mixHash(ephemeral.publicKey);
  state.mixKey(ephemeral.publicKey);
  state.mixKey(ee);
  state.mixKey(se);
  state.mixKeyAndHash(presharedKey);
  ee.fill(0);
  se.fill(0);
  return { state, encryptedPayload: state.encryptAndHash(payload) };
}

export type ReadResponse =
  | { readonly ok: true; readonly state: SymmetricState; readonly payload: Uint8Array }
  | { readonly ok: false; readonly error: 'low-order' | 'handshake-tag' };

/** Leaves `initiation` untouched: a forged response must not cost us the handshake that the true one will finish. */
export function readResponse(
  dh: X25519,
  initiation: SymmetricState,
  ourEphemeral: Uint8Array,
  ourStatic: Uint8Array,
  ephemeral: Uint8Array,
  presharedKey: Uint8Array,
  encryptedPayload: Uint8Array,
): ReadResponse {
  const ee = dh.sharedSecret(ourEphemeral, ephemeral);
  const se = dh.sharedSecret(ourStatic, ephemeral);
  if (ee === undefined || se === undefined) return { ok: false, error: 'low-order' };
  const state = initiation.clone();
  state.mixHash(ephemeral);
  state.mixKey(ephemeral);
  state.mixKey(ee);
  state.mixKey(se);
  state.mixKeyAndHash(presharedKey);
  ee.fill(0);
  se.fill(0);
  const payload = encryptedPayload.length < TAG_SIZE ? undefined : state.decryptAndHash(encryptedPayload);
  if (payload === undefined) {
    state.wipe();
    return { ok: false, error: 'handshake-tag' };
  }
  return { ok: true, state, payload };
}
