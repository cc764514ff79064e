import { now } from '../clock';
import { REASSEMBLIES, REASSEMBLY_TIMEOUT } from '../constants';
import { count, FRAGMENTS_IN, REASSEMBLED, REASSEMBLY_FAILED } from '../counters';
import { carve } from '../memory';
import { destinationHi, destinationLo, sourceHi, sourceLo } from '../packet';

/**
 * Puts fragments together (RFC 791 3.2, RFC 8200 4.5), in buffers of their own with a bit per 8 bytes. An overlap that brings
 * anything new ends the datagram (RFC 5722), in IPv4 too, and bytes are never replaced; the oldest gives way when all places are taken.
 */
@unmanaged
class Reassembly {
  sourceHi: u64;
  sourceLo: u64;
  destinationHi: u64;
  destinationLo: u64;
  until: f64;
  id: u32;
  protocol: u32;
  /** Bytes of the whole payload, known from the last fragment; 0 = not yet. */
  total: u32;
  /** Blocks of 8 bytes received. */
  blocks: u32;
  header: u32;
  /** What the first fragment carries. */
  first: u32;
  used: bool;
  /** Overlapped: swallow the rest of it until it times out. */
  dead: bool;
}

/** Room for the first fragment's IP header right before the payload, so that an ICMP error can quote both. */
const HEADER_ROOM: u32 = 256;
const MAP_BYTES: u32 = 1024;
const BUFFER: u32 = HEADER_ROOM + 65_536 + 64;
const RECORD: u32 = (offsetof<Reassembly>() + 63) & ~63;

let table: usize = 0;

/** Results of a finished reassembly. */
export let payloadAt: usize = 0;
export let payloadLength: u32 = 0;
export let headerLength: u32 = 0;
export let nextProtocol: u32 = 0;

export function carveReassemblies(): void {
  table = carve(<usize>(RECORD + MAP_BYTES + BUFFER) * REASSEMBLIES);
}

// @ts-ignore: decorator
@inline
function placeAt(index: u32): Reassembly {
  return changetype<Reassembly>(table + <usize>index * (RECORD + MAP_BYTES + BUFFER));
}

// @ts-ignore: decorator
@inline
function mapOf(r: Reassembly): usize {
  return changetype<usize>(r) + RECORD;
}

// @ts-ignore: decorator
@inline
function bufferOf(r: Reassembly): usize {
  return changetype<usize>(r) + RECORD + MAP_BYTES + HEADER_ROOM;
}

function find(id: u32, protocol: u32): Reassembly {
  let oldest = placeAt(0);
  for (let i: u32 = 0; i < REASSEMBLIES; i++) {
    const r = placeAt(i);
    if (r.used && r.until < now) {
      r.used = false;
      if (!r.dead) count(REASSEMBLY_FAILED);
    }
    if (
      r.used &&
      r.id === id &&
      r.protocol === protocol &&
      r.sourceLo === sourceLo &&
      r.destinationLo === destinationLo &&
      r.sourceHi === sourceHi &&
      r.destinationHi === destinationHi
    )
      return r;
    if (oldest.used && (!r.used || r.until < oldest.until)) oldest = r;
  }
  if (oldest.used) count(REASSEMBLY_FAILED);
  memory.fill(mapOf(oldest), 0, MAP_BYTES);
  oldest.sourceHi = sourceHi;
  oldest.sourceLo = sourceLo;
  oldest.destinationHi = destinationHi;
  oldest.destinationLo = destinationLo;
  oldest.until = now + REASSEMBLY_TIMEOUT;
  oldest.id = id;
  oldest.protocol = protocol;
  oldest.total = 0;
  oldest.blocks = 0;
  oldest.header = 0;
  oldest.used = true;
  oldest.dead = false;
  return oldest;
}

function kill(r: Reassembly): bool {
  r.dead = true;
  count(REASSEMBLY_FAILED);
  return false;
}

/**
 * Takes one fragment of the flow in `packet.ts`.
 * @param identity the protocol where it is part of the identity (IPv4, RFC 791), else 0
 * @param protocol that the fragment names
 * @param offset bytes, a multiple of 8
 * @param header the unfragmentable part, kept of the first fragment
 * @returns whether the datagram is whole; then see payloadAt and so on, good until the next call
 */
export function takeFragment(
  id: u32, identity: u32, protocol: u32, offset: u32, more: bool, data: usize, length: u32, header: usize, headerBytes: u32,
): bool {
  count(FRAGMENTS_IN);
  if (length === 0 || offset + length > 65_535 || (more && (length & 7) !== 0) || headerBytes > HEADER_ROOM) return false;
  const r = find(id, identity);
  if (r.dead) return false;
  const end = offset + length;
  if (more ? r.total !== 0 && end > r.total : r.total !== 0 && end !== r.total) return kill(r);
  const map = mapOf(r);
  const firstBlock = offset >>> 3;
  const lastBlock = (end + 7) >>> 3;
  let known: u32 = 0;
  for (let b = firstBlock; b < lastBlock; b++) known += (<u32>load<u8>(map + (b >>> 3)) >>> (b & 7)) & 1;
  if (known !== 0) return known === lastBlock - firstBlock ? false : kill(r);
  if (!more) {
    // Nothing may have come from beyond the end.
    for (let b = lastBlock; b < MAP_BYTES << 3; b++) if ((<u32>load<u8>(map + (b >>> 3)) >>> (b & 7)) & 1) return kill(r);
    r.total = end;
  }
  for (let b = firstBlock; b < lastBlock; b++) store<u8>(map + (b >>> 3), load<u8>(map + (b >>> 3)) | (<u8>1 << <u8>(b & 7)));
  r.blocks += lastBlock - firstBlock;
  memory.copy(bufferOf(r) + offset, data, length);
  if (offset === 0) {
    r.header = headerBytes;
    memory.copy(bufferOf(r) - headerBytes, header, headerBytes);
    // The identity of IPv6 has no protocol, so the first fragment's counts.
    r.first = protocol;
  }
  if (r.total === 0 || r.blocks !== (r.total + 7) >>> 3) return false;
  count(REASSEMBLED);
  r.used = false;
  payloadAt = bufferOf(r);
  payloadLength = r.total;
  headerLength = r.header;
  nextProtocol = r.first;
  return true;
}
