import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseAddress } from '../rules/index.ts';
import { peersError } from './check-config.ts';
import type { PeerConfig } from './config.ts';
import type { ToWorker } from './datapath/messages.ts';
import { PeerTable } from './peer-table.ts';
import { keyPair, memoryLog } from './testing/companions.ts';
import { Handshaker } from './wireguard/index.ts';

function table() {
  const own = keyPair();
  const handshaker = new Handshaker({ privateKey: own.privateKey, random: n => new Uint8Array(randomBytes(n)) });
  const sent: ToWorker[] = [];
  const peers = new PeerTable({
    handshaker,
    send: message => sent.push(message),
    lookup: async () => [parseAddress('192.0.2.7')!],
    log: memoryLog(),
  });
  const drain = () => sent.splice(0);
  const set = (list: PeerConfig[]) => {
    peers.set(list, own.publicKey);
    return drain();
  };
  return { own, peers, drain, set };
}

const peer = (change: Partial<PeerConfig> = {}): PeerConfig => ({
  publicKey: keyPair().publicKey,
  allowedIps: ['10.0.0.0/24'],
  ...change,
});

describe('PeerTable', () => {
  it('tells of each change once, and of nothing else', () => {
    const { set } = table();
    const [one, two] = [peer(), peer({ allowedIps: ['fd00::/64'] })];
    expect(set([one, two]).map(message => message.type)).toEqual(['peer-add', 'peer-add']);
    expect(set([two, one])).toEqual([]);
    const changed = { ...one, persistentKeepalive: 25 };
    expect(set([changed, two])).toEqual([{ type: 'peer-update', id: 0, change: { persistentKeepalive: 25 } }]);
    expect(set([two])).toEqual([{ type: 'peer-remove', id: 0 }]);
    expect(set([two, peer()])).toMatchObject([{ type: 'peer-add', id: 0 }]);
  });

  it('sends a peer that may have roamed back to its endpoint when told to, though it is the configured one', () => {
    const { own, peers, drain, set } = table();
    const one = peer({ endpoint: { host: '192.0.2.1', port: 9 } });
    set([one]);
    const name = Buffer.from(one.publicKey).toString('base64');
    peers.set([one], own.publicKey, new Set([name]));
    const endpoint = new Uint8Array([...parseAddress('192.0.2.1')!, 0, 9]);
    expect(drain()).toEqual([{ type: 'peer-update', id: 0, change: { endpoint } }]);
    expect([peers.idOf(name), peers.idOf('none')]).toEqual([0, undefined]);
  });

  it('removes before it adds, so that a moved prefix stays with its new owner', () => {
    const { set } = table();
    set([peer()]);
    expect(set([peer()]).map(message => message.type)).toEqual(['peer-remove', 'peer-add']);
  });

  it('clears the host bits of allowed IPs', () => {
    const { set } = table();
    expect(set([peer({ allowedIps: ['10.1.2.3/8'] })])).toMatchObject([
      { peer: { allowedIps: [{ address: parseAddress('10.0.0.0'), length: 104 }] } },
    ]);
  });

  it('leaves out the peer that is ourselves', () => {
    const { own, set } = table();
    expect(set([peer({ publicKey: own.publicKey })])).toEqual([]);
  });

  it('sends the address of a name when it is known, and stops asking for a name that is no longer wanted', async () => {
    const { set, drain } = table();
    const named = peer({ endpoint: { host: 'gateway.example', port: 258 } });
    expect(set([named])).toMatchObject([{ type: 'peer-add', peer: { publicKey: named.publicKey } }]);
    await new Promise(setImmediate);
    expect(drain()).toEqual([
      { type: 'peer-update', id: 0, change: { endpoint: Uint8Array.from([...parseAddress('192.0.2.7')!, 1, 2]) } },
    ]);
    const literal = { ...named, endpoint: { host: '192.0.2.8', port: 258 } };
    expect(set([named, peer()]).length).toBe(1);
    expect(set([literal])[1]).toEqual({
      type: 'peer-update',
      id: 0,
      change: { endpoint: Uint8Array.from([...parseAddress('192.0.2.8')!, 1, 2]) },
    });
    await new Promise(setImmediate);
    expect(drain()).toEqual([]);
  });
});

describe('peersError', () => {
  it.each([
    [peer({ publicKey: new Uint8Array(3) }), '3 bytes'],
    [peer({ presharedKey: new Uint8Array(33) }), 'preshared key has 33 bytes'],
    [peer({ allowedIps: ['10.0.0.0/33'] }), '10.0.0.0/33 is no CIDR'],
    [peer({ persistentKeepalive: 65_536 }), 'persistent keepalive 65536'],
    [peer({ endpoint: { host: 'x', port: 0 } }), 'endpoint port 0'],
  ])('refuses %o', (bad, words) => {
    expect(peersError([peer(), bad])).toContain(words);
  });

  it('takes good ones', () => {
    expect(
      peersError([peer(), peer({ presharedKey: new Uint8Array(32), persistentKeepalive: 65_535 })]),
    ).toBeUndefined();
  });
});
