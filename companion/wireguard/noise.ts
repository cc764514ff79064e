/**
 * The two handshake messages (whitepaper §5.4.2, §5.4.3) over Noise IKpsk2: the create and consume pairs and the keys
 * that come out. MACs are the business of `cookie.ts`; which peer, which index and whether a timestamp is fresh are
 * the Handshaker's. Nothing here changes anything but its result.
 */
import * as c from './constants.ts';
import type { DropReason } from './drops.ts';
import {
  type KeyPair,
  readInitiation,
  readResponse,
  type SymmetricState,
  writeInitiation,
  writeResponse,
} from './ikpsk2.ts';
import { field, INITIATION, newMessage, RESPONSE, readIndex, writeIndex } from './messages.ts';
import type { X25519 } from './x25519.ts';

const PROLOGUE = new TextEncoder().encode(c.IDENTIFIER);
const EMPTY = new Uint8Array(0);

/** What the initiator keeps between its message and the answer. */
export interface InitiatorState {
  readonly localIndex: number;
  readonly state: SymmetricState;
  readonly ephemeralPrivate: Uint8Array;
}

export function wipeInitiator(initiator: InitiatorState): void {
  initiator.state.wipe();
  initiator.ephemeralPrivate.fill(0);
}

/** MACs are still zero. Undefined: `remoteStatic` is a low-order point. */
export function createMessageInitiation(
  dh: X25519,
  local: KeyPair,
  remoteStatic: Uint8Array,
  staticStatic: Uint8Array,
  ephemeral: KeyPair,
  localIndex: number,
  timestamp: Uint8Array,
): { message: Uint8Array; initiator: InitiatorState } | undefined {
  const written = writeInitiation(dh, PROLOGUE, local, remoteStatic, staticStatic, ephemeral, timestamp);
  if (written === undefined) return undefined;
  const message = newMessage(c.MESSAGE_INITIATION, c.INITIATION_SIZE);
  writeIndex(message, INITIATION.sender, localIndex);
  message.set(ephemeral.publicKey, INITIATION.ephemeral[0]);
  message.set(written.encryptedStatic, INITIATION.static[0]);
  message.set(written.encryptedPayload, INITIATION.timestamp[0]);
  return { message, initiator: { localIndex, state: written.state, ephemeralPrivate: ephemeral.privateKey } };
}

/** A valid initiation, not yet answered. */
export interface ResponderState {
  readonly state: SymmetricState;
  readonly remoteStatic: Uint8Array;
  readonly remoteEphemeral: Uint8Array;
  readonly remoteIndex: number;
  /** TAI64N, 12 bytes. */
  readonly timestamp: Uint8Array;
}

export type Consumed<T> = ({ readonly ok: true } & T) | { readonly ok: false; readonly error: DropReason };

/** `findStaticStatic` answers the DH of the static keys for a configured peer, or why there is none. */
export function consumeMessageInitiation(
  dh: X25519,
  local: KeyPair,
  message: Uint8Array,
  findStaticStatic: (remoteStatic: Uint8Array) => Uint8Array | 'unknown-peer' | 'low-order',
): Consumed<{ responder: ResponderState }> {
  const remoteEphemeral = Uint8Array.from(field(message, INITIATION.ephemeral));
  const read = readInitiation(
    dh,
    PROLOGUE,
    local,
    remoteEphemeral,
    field(message, INITIATION.static),
    field(message, INITIATION.timestamp),
  );
  if (!read.ok) return read;
  const staticStatic = findStaticStatic(read.remoteStatic);
  if (typeof staticStatic === 'string') {
    read.finish(undefined);
    return { ok: false, error: staticStatic };
  }
  const finished = read.finish(staticStatic);
  if (finished === undefined) return { ok: false, error: 'handshake-tag' };
  const responder = {
    state: finished.state,
    remoteStatic: read.remoteStatic,
    remoteEphemeral,
    remoteIndex: readIndex(message, INITIATION.sender),
    timestamp: finished.payload,
  };
  return { ok: true, responder };
}

/** Consumes `responder`; MACs are still zero. Undefined: one of the initiator's keys is a low-order point. */
export function createMessageResponse(
  dh: X25519,
  responder: ResponderState,
  ephemeral: KeyPair,
  presharedKey: Uint8Array,
  localIndex: number,
): { message: Uint8Array; state: SymmetricState } | undefined {
  const { state, remoteEphemeral, remoteStatic } = responder;
  const written = writeResponse(dh, state, remoteEphemeral, remoteStatic, ephemeral, presharedKey, EMPTY);
  ephemeral.privateKey.fill(0);
  if (written === undefined) return undefined;
  const message = newMessage(c.MESSAGE_RESPONSE, c.RESPONSE_SIZE);
  writeIndex(message, RESPONSE.sender, localIndex);
  writeIndex(message, RESPONSE.receiver, responder.remoteIndex);
  message.set(ephemeral.publicKey, RESPONSE.ephemeral[0]);
  message.set(written.encryptedPayload, RESPONSE.empty[0]);
  return { message, state: written.state };
}

export function consumeMessageResponse(
  dh: X25519,
  local: KeyPair,
  initiator: InitiatorState,
  presharedKey: Uint8Array,
  message: Uint8Array,
): Consumed<{ state: SymmetricState; remoteIndex: number }> {
  const read = readResponse(
    dh,
    initiator.state,
    initiator.ephemeralPrivate,
    local.privateKey,
    field(message, RESPONSE.ephemeral),
    presharedKey,
    field(message, RESPONSE.empty),
  );
  if (!read.ok) return read;
  return { ok: true, state: read.state, remoteIndex: readIndex(message, RESPONSE.sender) };
}

/** The two transport keys (whitepaper §5.4.5). Wipes `state`: from here on nobody can derive them again. */
export function beginSymmetricSession(
  state: SymmetricState,
  initiator: boolean,
): { sendKey: Uint8Array; receiveKey: Uint8Array } {
  const [fromInitiator, fromResponder] = state.split();
  state.wipe();
  return initiator
    ? { sendKey: fromInitiator, receiveKey: fromResponder }
    : { sendKey: fromResponder, receiveKey: fromInitiator };
}
