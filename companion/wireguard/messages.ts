/**
 * Wire formats of the four messages (whitepaper §5.4): byte ranges [from, to). Integers are little-endian.
 * After `messageType` has answered a type, every range of that type lies inside the datagram.
 */
import * as c from './constants.ts';

export const INITIATION = {
  sender: 4,
  ephemeral: [8, 40],
  static: [40, 88],
  timestamp: [88, 116],
  mac1: [116, 132],
  mac2: [132, 148],
} as const;

export const RESPONSE = {
  sender: 4,
  receiver: 8,
  ephemeral: [12, 44],
  empty: [44, 60],
  mac1: [60, 76],
  mac2: [76, 92],
} as const;

export const COOKIE_REPLY = {
  receiver: 4,
  nonce: [8, 32],
  cookie: [32, 64],
} as const;

export const TRANSPORT = {
  receiver: 4,
  counter: 8,
  packet: 16,
} as const;

export function field(message: Uint8Array, range: readonly [number, number]): Uint8Array {
  return message.subarray(range[0], range[1]);
}

export function readIndex(message: Uint8Array, offset: number): number {
  return (
    (message[offset]! | (message[offset + 1]! << 8) | (message[offset + 2]! << 16) | (message[offset + 3]! << 24)) >>> 0
  );
}

export function writeIndex(message: Uint8Array, offset: number, index: number): void {
  for (let i = 0; i < 4; i++) message[offset + i] = index >>> (8 * i);
}

/** A message of `size` zero bytes with its type; the three reserved bytes stay zero. */
export function newMessage(type: number, size: number): Uint8Array {
  const message = new Uint8Array(size);
  message[0] = type;
  return message;
}

/** The type, 1 to 4, of a datagram of the right size with zero reserved bytes, or what is wrong with it. */
export function messageType(datagram: Uint8Array): number | 'length' | 'type' {
  if (datagram.length < 4) return 'length';
  const type = datagram[0]!;
  if (datagram[1] !== 0 || datagram[2] !== 0 || datagram[3] !== 0) return 'type';
  switch (type) {
    case c.MESSAGE_INITIATION:
      return datagram.length === c.INITIATION_SIZE ? type : 'length';
    case c.MESSAGE_RESPONSE:
      return datagram.length === c.RESPONSE_SIZE ? type : 'length';
    case c.MESSAGE_COOKIE_REPLY:
      return datagram.length === c.COOKIE_REPLY_SIZE ? type : 'length';
    case c.MESSAGE_TRANSPORT:
      return datagram.length >= c.KEEPALIVE_SIZE ? type : 'length';
    default:
      return 'type';
  }
}
