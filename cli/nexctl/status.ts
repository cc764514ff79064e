/** `nexctl nexd status`: the real one's first line, then what a person wants to know when something does not work. */

export interface StatusDetail {
  version: string;
  status: string;
  interface: { name: string; publicKey: string; addresses: string[]; listenPort: number | null; aead: string | null };
  keys: {
    name: string;
    rules: string[];
    policy: { allow: string[]; deny: string[] } | null;
    rejected: string | null;
  }[];
  envoy: { kind: string; state: string; ready: boolean; rejected: { name: string; message: string }[] } | null;
  warnings: string[];
  peers: { publicKey: string; endpoint?: string; latestHandshake: number; healthy: boolean; rx: number; tx: number }[];
  connections: number;
  counters: Record<string, number>;
}

/** The lines below `Status: …`. */
export function formatDetail(detail: StatusDetail): string {
  const { name, publicKey, addresses, listenPort, aead } = detail.interface;
  const lines = [
    `Interface: ${name}, ${addresses.join(' ')}, UDP port ${listenPort ?? 'none yet'}, public key ${publicKey}${aead === null ? '' : `, ChaCha20-Poly1305 by ${aead}`}`,
    `Envoy: ${detail.envoy?.state ?? 'not started yet'}`,
    `Peers: ${detail.peers.filter(peer => peer.healthy).length} of ${detail.peers.length} healthy`,
    `Connections: ${detail.connections}`,
  ];
  for (const { name: key, rules, policy, rejected } of detail.keys) {
    const who =
      policy === null ? '' : `, allow ${policy.allow.join(',') || 'all'}, deny ${policy.deny.join(',') || 'none'}`;
    lines.push(`Rule ${key}: ${rules.join(' ')}${who}${rejected === null ? '' : `: REJECTED ${rejected}`}`);
  }
  const keys = new Set(detail.keys.map(key => key.name));
  for (const { name: resource, message } of detail.envoy?.rejected ?? []) {
    if (!keys.has(resource)) lines.push(`REJECTED by Envoy: ${resource}: ${message}`);
  }
  lines.push(...detail.warnings.map(warning => `WARNING: ${warning}`));
  return lines.map(line => `${line}\n`).join('');
}
