import { describe, expect, test } from 'vitest';
import { type KeyPair, readInitiation, readResponse, writeInitiation, writeResponse } from './ikpsk2.ts';
import { NaiveNoise } from './testing/naive-noise.ts';
import { SeededRandom } from './testing/random.ts';
import { nobleX25519, opensslX25519 } from './x25519.ts';

const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');

function keyPair(privateKey: Uint8Array): KeyPair {
  return { privateKey, publicKey: opensslX25519.publicKey(privateKey) };
}

describe('IKpsk2 against an interpreter of the Noise specification', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('random handshake %i, both roles', round => {
    const seed = (Date.now() + round) >>> 0;
    const random = new SeededRandom(seed);
    const [is, ie, rs, re] = [0, 0, 0, 0].map(() => keyPair(random.bytes(32))) as [KeyPair, KeyPair, KeyPair, KeyPair];
    const psk = random.chance(0.3) ? new Uint8Array(32) : random.bytes(32);
    const prologue = random.bytes(random.below(60));
    const [p1, p2] = [random.bytes(random.below(40)), random.bytes(random.below(40))];
    const dh = random.chance(0.5) ? opensslX25519 : nobleX25519;
    const ss = dh.sharedSecret(is.privateKey, rs.publicKey)!;
    const where = `seed ${seed}`;

    // ours initiates, naive responds
    const naiveResponder = new NaiveNoise({ initiator: false, prologue, s: rs.privateKey, e: re.privateKey, psk });
    const m1 = writeInitiation(dh, prologue, is, rs.publicKey, ss, ie, p1)!;
    const wire1 = Buffer.concat([ie.publicKey, m1.encryptedStatic, m1.encryptedPayload]);
    expect(hex(naiveResponder.read(wire1)), where).toBe(hex(p1));
    expect(hex(naiveResponder.rs!), where).toBe(hex(is.publicKey));
    const wire2 = naiveResponder.write(p2);
    const done = readResponse(
      dh,
      m1.state,
      ie.privateKey,
      is.privateKey,
      wire2.subarray(0, 32),
      psk,
      wire2.subarray(32),
    );
    if (!done.ok) throw new Error(`${where}: ${done.error}`);
    expect(hex(done.payload), where).toBe(hex(p2));
    expect(hex(done.state.hash), where).toBe(hex(naiveResponder.h));
    expect(done.state.split().map(hex), where).toEqual(naiveResponder.split().map(hex));

    // naive initiates, ours responds
    const naiveInitiator = new NaiveNoise({
      initiator: true,
      prologue,
      s: is.privateKey,
      e: ie.privateKey,
      rs: rs.publicKey,
      psk,
    });
    const first = naiveInitiator.write(p1);
    expect(hex(first), where).toBe(hex(wire1));
    const read = readInitiation(dh, prologue, rs, first.subarray(0, 32), first.subarray(32, 80), first.subarray(80));
    if (!read.ok) throw new Error(`${where}: ${read.error}`);
    const finished = read.finish(ss)!;
    expect(hex(finished.payload), where).toBe(hex(p1));
    const m2 = writeResponse(dh, finished.state, ie.publicKey, is.publicKey, re, psk, p2)!;
    const second = Buffer.concat([re.publicKey, m2.encryptedPayload]);
    expect(hex(second), where).toBe(hex(wire2));
    expect(hex(naiveInitiator.read(second)), where).toBe(hex(p2));
    expect(m2.state.split().map(hex), where).toEqual(naiveInitiator.split().map(hex));
  });
});

describe('a message that is not ours', () => {
  const random = new SeededRandom(99);
  const [is, ie, rs, re] = [0, 0, 0, 0].map(() => keyPair(random.bytes(32))) as [KeyPair, KeyPair, KeyPair, KeyPair];
  const psk = random.bytes(32);
  const prologue = random.bytes(10);
  const ss = opensslX25519.sharedSecret(is.privateKey, rs.publicKey)!;
  const initiation = () => writeInitiation(opensslX25519, prologue, is, rs.publicKey, ss, ie, random.bytes(12))!;

  test('a forged response leaves the initiator able to read the true one', () => {
    const m1 = initiation();
    const read = readInitiation(opensslX25519, prologue, rs, ie.publicKey, m1.encryptedStatic, m1.encryptedPayload);
    if (!read.ok) throw new Error(read.error);
    const m2 = writeResponse(
      opensslX25519,
      read.finish(ss)!.state,
      ie.publicKey,
      is.publicKey,
      re,
      psk,
      new Uint8Array(),
    )!;
    const before = hex(m1.state.hash) + hex(m1.state.chainKey);
    const args = [opensslX25519, m1.state, ie.privateKey, is.privateKey] as const;
    const forged = Uint8Array.from(m2.encryptedPayload);
    forged[3]! ^= 1;
    expect(readResponse(...args, re.publicKey, psk, forged)).toEqual({ ok: false, error: 'handshake-tag' });
    expect(readResponse(...args, re.publicKey, random.bytes(32), m2.encryptedPayload).ok, 'another psk').toBe(false);
    expect(readResponse(...args, new Uint8Array(32), psk, m2.encryptedPayload)).toEqual({
      ok: false,
      error: 'low-order',
    });
    expect(readResponse(...args, re.publicKey, psk, new Uint8Array(3)).ok, 'no room for a tag').toBe(false);
    expect(hex(m1.state.hash) + hex(m1.state.chainKey)).toBe(before);
    expect(readResponse(...args, re.publicKey, psk, m2.encryptedPayload).ok).toBe(true);
  });

  test('a flipped bit anywhere in an initiation is found', () => {
    const m1 = initiation();
    for (const [part, where] of [
      [ie.publicKey, 'ephemeral'],
      [m1.encryptedStatic, 'static'],
      [m1.encryptedPayload, 'payload'],
    ] as const) {
      const at = random.below(part.length * 8 - 1); // the top bit of a key does not count
      part[at >> 3]! ^= 1 << (at & 7);
      const read = readInitiation(opensslX25519, prologue, rs, ie.publicKey, m1.encryptedStatic, m1.encryptedPayload);
      expect(read.ok && read.finish(ss) !== undefined, where).toBe(false);
      part[at >> 3]! ^= 1 << (at & 7);
    }
  });

  test('a low-order ephemeral is refused before anything is decrypted', () => {
    const m1 = initiation();
    const read = readInitiation(
      opensslX25519,
      prologue,
      rs,
      new Uint8Array(32),
      m1.encryptedStatic,
      m1.encryptedPayload,
    );
    expect(read).toEqual({ ok: false, error: 'low-order' });
  });
});
