/**
 * Vectors that others publish, read from where you have put them; nothing of them is in this repository.
 *
 *     WYCHEPROOF=<C2SP/wycheproof>/testvectors_v1  NOISE_VECTORS=<mcginty/snow>/tests/vectors/cacophony.txt
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chacha20poly1305, xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { describe, expect, test } from 'vitest';
import { readInitiation, readResponse, writeInitiation, writeResponse } from './ikpsk2.ts';
import { isZero, nobleX25519, opensslX25519 } from './x25519.ts';

const wycheproof = process.env['WYCHEPROOF'] ?? '';
const noise = process.env['NOISE_VECTORS'] ?? '';
const haveWycheproof = existsSync(join(wycheproof, 'x25519_test.json'));
const haveNoise = existsSync(noise);
if (!haveWycheproof) console.warn('\nSKIPPED: Wycheproof vectors: set WYCHEPROOF to its testvectors_v1 folder\n');
if (!haveNoise) console.warn('\nSKIPPED: Noise vectors: set NOISE_VECTORS to a cacophony vector file\n');

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');

interface Case extends Record<string, string> {
  comment: string;
  result: 'valid' | 'invalid' | 'acceptable';
}
interface Group extends Record<string, unknown> {
  tests: (Case & { tcId: string; flags: never })[];
}

function cases(file: string): { group: Group; vector: Case; id: string }[] {
  const { testGroups } = JSON.parse(readFileSync(join(wycheproof, file), 'utf8')) as { testGroups: Group[] };
  return testGroups.flatMap(group => group.tests.map(vector => ({ group, vector, id: `${file} ${vector.tcId}` })));
}

describe.skipIf(!haveWycheproof)('Wycheproof', () => {
  test.each([
    ['openssl', opensslX25519],
    ['noble', nobleX25519],
  ])('X25519 by %s: every vector, a zero result refused', (_, x25519) => {
    const all = cases('x25519_test.json');
    expect(all.length).toBeGreaterThan(500);
    for (const { vector, id } of all) {
      const shared = x25519.sharedSecret(bytes(vector['private']!), bytes(vector['public']!));
      const zero = isZero(bytes(vector['shared']!));
      expect(shared === undefined ? 'refused' : hex(shared), `${id}: ${vector.comment}`).toBe(
        zero ? 'refused' : vector['shared'],
      );
    }
  });

  test.each([
    ['chacha20_poly1305_test.json', chacha20poly1305, 96],
    ['xchacha20_poly1305_test.json', xchacha20poly1305, 192],
  ] as const)('%s', (file, cipher, ivBits) => {
    const all = cases(file);
    expect(all.length).toBeGreaterThan(300);
    for (const { group, vector, id } of all) {
      const open = () =>
        cipher(bytes(vector['key']!), bytes(vector['iv']!), bytes(vector['aad']!)).decrypt(
          bytes(vector['ct']! + vector['tag']!),
        );
      if (vector.result === 'valid' && group['ivSize'] === ivBits) expect(hex(open()), id).toBe(vector['msg']);
      else expect(open, `${id}: ${vector.comment}`).toThrow();
    }
  });
});

interface NoiseVector extends Record<string, string> {
  init_psks: never;
  resp_psks: never;
  messages: never;
}

describe.skipIf(!haveNoise)('the Noise vectors', () => {
  test('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, both roles, handshake hash and transport messages', () => {
    const { vectors } = JSON.parse(readFileSync(noise, 'utf8')) as { vectors: NoiseVector[] };
    const mine = vectors.filter(v => v['protocol_name'] === 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s');
    expect(mine.length).toBeGreaterThan(0);
    for (const v of mine) {
      const get = (name: string) => bytes(v[name]!);
      const pair = (privateKey: Uint8Array) => ({ privateKey, publicKey: opensslX25519.publicKey(privateKey) });
      const messages = v.messages as { payload: string; ciphertext: string }[];
      const psk = bytes((v.init_psks as string[])[0]!);
      const [is, ie, rs, re] = [
        pair(get('init_static')),
        pair(get('init_ephemeral')),
        pair(get('resp_static')),
        pair(get('resp_ephemeral')),
      ];
      const prologue = get('init_prologue');
      const ss = opensslX25519.sharedSecret(is.privateKey, rs.publicKey)!;
      const m1 = writeInitiation(opensslX25519, prologue, is, rs.publicKey, ss, ie, bytes(messages[0]!.payload))!;
      expect(hex(ie.publicKey) + hex(m1.encryptedStatic) + hex(m1.encryptedPayload)).toBe(messages[0]!.ciphertext);
      const read = readInitiation(opensslX25519, prologue, rs, ie.publicKey, m1.encryptedStatic, m1.encryptedPayload);
      if (!read.ok) throw new Error(read.error);
      const { state } = read.finish(ss)!;
      const m2 = writeResponse(
        opensslX25519,
        state,
        ie.publicKey,
        read.remoteStatic,
        re,
        psk,
        bytes(messages[1]!.payload),
      )!;
      expect(hex(re.publicKey) + hex(m2.encryptedPayload)).toBe(messages[1]!.ciphertext);
      const end = readResponse(
        opensslX25519,
        m1.state,
        ie.privateKey,
        is.privateKey,
        re.publicKey,
        psk,
        m2.encryptedPayload,
      );
      if (!end.ok) throw new Error(end.error);
      expect(hex(end.state.hash)).toBe(v['handshake_hash']);
      const keys = end.state.split();
      messages.slice(2).forEach(({ payload, ciphertext }, i) => {
        const nonce = new Uint8Array(12);
        nonce[4] = i >> 1; // the two sides take turns
        expect(hex(chacha20poly1305(keys[i & 1]!, nonce).encrypt(bytes(payload)))).toBe(ciphertext);
      });
    }
  });
});
