/**
 * A WireGuard engine without I/O: `Handshaker` (keys, Noise, cookies) on one thread, `Tunnel` (packets, timers) on
 * another or the same; the caller carries their actions to each other, to the sockets and to the disk.
 */
export type { HandshakeAction, Now, PeerId, SessionAction, TransportAction } from './actions.ts';
export { type Aead, NobleAead } from './aead.ts';
export type { Prefix } from './allowed-ips.ts';
export * as constants from './constants.ts';
export { DROP_REASONS, DropCounters, type DropReason, dropCode, dropReason } from './drops.ts';
export { type HandshakePeer, Handshaker, type HandshakerOptions } from './handshaker.ts';
export { createMemory, type MemoryView } from './memory.ts';
export { pcapHeader, pcapRecord } from './pcap.ts';
export { Tunnel } from './tunnel.ts';
export type { PeerStats, TunnelOptions, TunnelPeer, TunnelPeerChange } from './tunnel-types.ts';
export {
  ERRNO,
  errnoReply,
  getReply,
  parseSet,
  type UapiAllowedIp,
  UapiParser,
  type UapiPeerChange,
  type UapiPeerState,
  type UapiRequest,
  type UapiSet,
  type UapiState,
} from './uapi.ts';
export { clamp, isZero, nobleX25519, opensslX25519, type X25519 } from './x25519.ts';
