import { describe, expect, it } from 'vitest';
import type { PeerConfig } from './config.ts';
import { changedPeers } from './uapi-device.ts';
import { parseSet } from './wireguard/index.ts';

const key = (n: number) => new Uint8Array(32).fill(n);
const hex = (n: number) => n.toString(16).padStart(2, '0').repeat(32);
const name = (n: number) => Buffer.from(key(n)).toString('base64');

const A: PeerConfig = {
  publicKey: key(1),
  allowedIps: ['10.1.0.0/16', 'fd01::/64'],
  endpoint: { host: 'a.test', port: 51 },
  persistentKeepalive: 25,
  presharedKey: key(9),
};
const B: PeerConfig = { publicKey: key(2), allowedIps: ['10.2.0.0/16'] };

/** After a set of these lines, `a.test` being 192.0.2.1 in use. */
function after(...lines: string[]) {
  const parsed = parseSet(lines);
  if (!parsed.ok) throw new Error(`errno ${parsed.errno}`);
  const { peers, placed } = changedPeers([A, B], parsed.set, peer =>
    peer === name(1) ? { host: '192.0.2.1', port: 51 } : undefined,
  );
  return { peers, placed: [...placed] };
}

describe('a set of the UAPI', () => {
  it('that says nothing changes nothing', () => {
    expect(after()).toEqual({ peers: [A, B], placed: [] });
    expect(after(`public_key=${hex(1)}`)).toEqual({ peers: [A, B], placed: [] });
  });

  it('adds a peer, and not one that it would only update', () => {
    const added = ['persistent_keepalive_interval=7', 'allowed_ip=10.3.4.5/16', 'endpoint=[2001:db8::1]:9'];
    const C = {
      publicKey: key(3),
      allowedIps: ['10.3.0.0/16'],
      endpoint: { host: '2001:db8::1', port: 9 },
      persistentKeepalive: 7,
    };
    expect(after(`public_key=${hex(3)}`, ...added)).toEqual({ peers: [A, B, C], placed: [name(3)] });
    expect(after(`public_key=${hex(3)}`, 'update_only=true', ...added)).toEqual({ peers: [A, B], placed: [] });
  });

  it('removes a peer, and frees what it owned', () => {
    expect(after(`public_key=${hex(1)}`, 'remove=true').peers).toEqual([B]);
    const moved = after(`public_key=${hex(1)}`, 'remove=true', `public_key=${hex(2)}`, 'allowed_ip=10.1.0.0/16').peers;
    expect(moved).toEqual([{ ...B, allowedIps: ['10.2.0.0/16', '10.1.0.0/16'] }]);
  });

  it('moves an allowed IP to the peer that names it last', () => {
    const [a, b] = after(`public_key=${hex(2)}`, 'allowed_ip=10.1.0.0/16').peers;
    expect(a!.allowedIps).toEqual(['fd01::/64']);
    expect(b!.allowedIps).toEqual(['10.2.0.0/16', '10.1.0.0/16']);
  });

  it('replaces and takes away allowed IPs; those of others stay', () => {
    expect(
      after(`public_key=${hex(1)}`, 'replace_allowed_ips=true', 'allowed_ip=0.0.0.0/0', 'allowed_ip=::/0').peers[0],
    ).toEqual({ ...A, allowedIps: ['0.0.0.0/0', '::/0'] });
    expect(
      after(`public_key=${hex(1)}`, 'allowed_ip=-10.1.0.0/16', 'allowed_ip=-10.2.0.0/16').peers.map(p => p.allowedIps),
    ).toEqual([['fd01::/64'], ['10.2.0.0/16']]);
  });

  it('takes away a preshared key by zeros, and copies one that it gives', () => {
    expect(after(`public_key=${hex(1)}`, `preshared_key=${hex(0)}`).peers[0]).not.toHaveProperty('presharedKey');
    const parsed = parseSet([`public_key=${hex(2)}`, `preshared_key=${hex(7)}`]);
    if (!parsed.ok) throw new Error();
    const { peers } = changedPeers([A, B], parsed.set, () => undefined);
    parsed.set.peers[0]!.presharedKey!.fill(0);
    expect(peers[1]!.presharedKey).toEqual(key(7));
  });

  it('keeps the name of an endpoint when it gives the address in use, and only then', () => {
    expect(after(`public_key=${hex(1)}`, 'endpoint=192.0.2.1:51')).toEqual({ peers: [A, B], placed: [] });
    const { peers, placed } = after(`public_key=${hex(1)}`, 'endpoint=192.0.2.1:52');
    expect(peers[0]!.endpoint).toEqual({ host: '192.0.2.1', port: 52 });
    expect(placed).toEqual([name(1)]);
  });

  it('with replace_peers leaves only what it says', () => {
    expect(after('replace_peers=true', `public_key=${hex(1)}`, 'allowed_ip=10.9.0.0/24')).toEqual({
      peers: [{ publicKey: key(1), allowedIps: ['10.9.0.0/24'] }],
      placed: [],
    });
    expect(after('replace_peers=true').peers).toEqual([]);
    // The name survives a syncconf or setconf, for which wg has looked it up.
    expect(after('replace_peers=true', `public_key=${hex(1)}`, 'endpoint=192.0.2.1:51').peers[0]!.endpoint).toEqual(
      A.endpoint,
    );
  });
});
