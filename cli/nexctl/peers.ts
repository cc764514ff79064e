/** `nexctl nexd peers list`. */

import { formatTable } from './table.ts';

interface Session {
  PublicKey: string;
  Endpoint: string;
  AllowedIPs: string[];
  LatestHandshake: string;
  Tx: number;
  Rx: number;
  Healthy: boolean;
}

/** The columns of the real nexctl; without `full` only the ones that fit a terminal. `now` in Unix seconds. */
export function formatPeers(json: string, full: boolean, now: number): string {
  const { peers } = JSON.parse(json) as { peers: Record<string, Session> };
  const age = (stamp: string) =>
    Number(stamp) > 0 ? `${Math.max(0, Math.round(now - Number(stamp)))} seconds ago` : 'None';
  const columns: [string, boolean, (peer: Session) => string][] = [
    ['PUBLIC KEY', true, peer => peer.PublicKey],
    ['ENDPOINT', true, peer => peer.Endpoint],
    ['ALLOWED IPS', true, peer => `[${peer.AllowedIPs.join(' ')}]`],
    ['LATEST HANDSHAKE', true, peer => age(peer.LatestHandshake)],
    ['TRANSMITTED', full, peer => String(peer.Tx)],
    ['RECEIVED', full, peer => String(peer.Rx)],
    ['HEALTHY', true, peer => String(peer.Healthy)],
  ];
  const shown = columns.filter(([, show]) => show);
  return formatTable(
    shown.map(([title]) => title),
    Object.values(peers).map(peer => shown.map(([, , value]) => value(peer))),
  );
}
