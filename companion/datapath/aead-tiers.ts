import type { Aead } from '../wireguard/aead.ts';
import { TAG_BYTES } from './aead-layout.ts';
import { opensslEvpAead } from './aead-openssl-evp.ts';
import { opensslRawAead } from './aead-openssl-raw.ts';
import { wasmAead } from './aead-wasm.ts';
import type { LinearMemory } from './memory.ts';
import { nativeLibrary } from './native-library.ts';

export type AeadTier = 'openssl-raw' | 'openssl-evp' | 'wasm';

type Memory = LinearMemory & { readonly wasm: WebAssembly.Memory };

/** Fastest first. */
export const AEAD_TIERS: readonly AeadTier[] = ['openssl-raw', 'openssl-evp', 'wasm'];

const SHARED_LIBCRYPTO = ['libcrypto.so.3', 'libcrypto.so.1.1'];

/** The tier itself, unproven. Throws Error where the machine cannot have it. */
export function makeAead(tier: AeadTier, memory: Memory): Aead {
  if (tier === 'openssl-raw') return opensslRawAead(memory, nativeLibrary(null));
  if (tier === 'wasm') return wasmAead(memory);
  const errors: unknown[] = [];
  for (const path of [null, ...SHARED_LIBCRYPTO]) {
    try {
      return opensslEvpAead(memory, nativeLibrary(path));
    } catch (error) {
      errors.push(error);
    }
  }
  throw new AggregateError(errors, 'no libcrypto with EVP_chacha20_poly1305');
}

/**
 * The fastest tier that this machine has and that gives the known answers. `skipped` says why each faster one is not used.
 * Throws Error when there is none at all: without an AEAD there is no tunnel.
 */
export function selectAead(memory: Memory): {
  aead: Aead;
  tier: AeadTier;
  skipped: { tier: AeadTier; reason: string }[];
} {
  const skipped: { tier: AeadTier; reason: string }[] = [];
  for (const tier of AEAD_TIERS) {
    try {
      const aead = makeAead(tier, memory);
      const wrong = selfTest(memory, aead);
      if (wrong === undefined) return { aead, tier, skipped };
      skipped.push({ tier, reason: wrong });
    } catch (error) {
      skipped.push({ tier, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  throw new Error(`no ChaCha20-Poly1305: ${skipped.map(({ tier, reason }) => `${tier}: ${reason}`).join('; ')}`);
}

/**
 * Tags of texts of these lengths, by an implementation that is none of the three (node:crypto): key bytes 0x80, 0x81, ...; counter
 * 0x0102030405060708; text bytes 7i + 3. They lie on both sides of every block edge and of the padding to 16.
 */
const KNOWN_TAGS: readonly [length: number, tag: string][] = [
  [0, '078b351197976378c834e53b78461168'],
  [1, 'c98f18f976a5a53cee092024c1484bda'],
  [15, 'ff0686d405728f411ec2203e5e1079e5'],
  [16, '09b514584c499bacd9645a82b871dfcb'],
  [63, '6ad35916f37325a51c534e6d542cd943'],
  [64, '3662d6c14c36de0615fc6eb3dea40ecb'],
  [65, 'f457064c633e7824958aac711ab9a15a'],
  [1420, '8cb89fcfccb35b2719c06882673c7f26'],
  [1424, 'f97ce58f8fd6e807596142c34e36611d'],
];
const COUNTER_LO = 0x05060708;
const COUNTER_HI = 0x01020304;
const ROOM = 64 + 2048;

let arena: { memory: Memory; at: number } | undefined;

/** Seals, opens, and tries a forgery of each known text. Answers what was wrong; undefined = nothing. */
export function selfTest(memory: Memory, aead: Aead): string | undefined {
  if (arena?.memory !== memory) arena = { memory, at: memory.reserve(64 + 3 * ROOM) };
  const { u8 } = memory;
  const key = arena.at;
  const src = key + 64 + 64;
  const sealed = src + ROOM;
  const opened = sealed + ROOM;
  for (let i = 0; i < 32; i++) u8[key + i] = 0x80 + i;
  for (const [length, tag] of KNOWN_TAGS) {
    u8.fill(0, src - 64, src);
    for (let i = 0; i < length; i++) u8[src + i] = 7 * i + 3;
    aead.seal(sealed, src, length, key, COUNTER_LO, COUNTER_HI);
    const got = Buffer.from(u8.subarray(sealed + length, sealed + length + TAG_BYTES)).toString('hex');
    if (got !== tag) return `wrong tag for ${length} bytes`;
    if (!aead.open(opened, sealed, length + TAG_BYTES, key, COUNTER_LO, COUNTER_HI))
      return `did not open ${length} bytes`;
    for (let i = 0; i < length; i++)
      if (u8[opened + i] !== ((7 * i + 3) & 0xff)) return `wrong text for ${length} bytes`;
    u8[sealed + (length >>> 1)]! ^= 1;
    if (aead.open(opened, sealed, length + TAG_BYTES, key, COUNTER_LO, COUNTER_HI))
      return `opened a forgery of ${length} bytes`;
  }
  return undefined;
}
