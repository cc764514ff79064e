/** A userspace WireGuard node with a TCP/IP stack of its own, and the relays between that network and local sockets. */
export { Companion } from './companion.ts';
export type {
  AeadTier,
  CompanionConfig,
  CompanionEvents,
  CompanionLog,
  CompanionStatus,
  PeerConfig,
  PeerStatus,
  ProxyKeyConfig,
  ProxyKeyReport,
} from './config.ts';
export { UapiServer, WIREGUARD_DIRECTORY } from './uapi-server.ts';
