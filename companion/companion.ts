import { EventEmitter } from 'node:events';
import type {
  CompanionConfig,
  CompanionEvents,
  CompanionLog,
  CompanionStatus,
  PeerConfig,
  ProxyKeyConfig,
  ProxyKeyReport,
} from './config.ts';

export class Companion extends EventEmitter<CompanionEvents> {
  /** SKELETON */
  static async start(_config: CompanionConfig, _log: CompanionLog): Promise<Companion> {
    return new Companion();
  }
  async setProxyKeys(_keys: ProxyKeyConfig[]): Promise<ProxyKeyReport[]> {
    return [];
  }
  async setPeers(_peers: PeerConfig[]): Promise<void> {}
  async setPrivateKey(_key: Uint8Array): Promise<void> {}
  async status(): Promise<CompanionStatus> {
    throw new Error('not yet');
  }
  async close(): Promise<void> {}
}
