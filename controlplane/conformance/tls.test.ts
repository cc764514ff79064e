/** Over TCP a node is who its certificate says. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { typeUrls } from '../../envoy/api/index.ts';
import { ControlPlane } from '../index.ts';
import { namesOf, RawClient } from '../testing/client.ts';
import { silent } from '../testing/plane.ts';
import { cluster } from '../testing/resources.ts';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
if (!hasOpenssl) process.stderr.write('SKIPPED: no openssl found; mutual TLS was not tested\n');

let folder = '';
const read = (name: string): Buffer => readFileSync(join(folder, name));

function openssl(...args: string[]): void {
  const { status, stderr } = spawnSync('openssl', args, { cwd: folder });
  if (status !== 0) throw new Error(String(stderr));
}

function certify(name: string, alternative: string): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${name}.key`];
  openssl('req', ...key, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
  writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${alternative}\n`);
  const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
  openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-extfile', `${name}.ext`, '-days', '2', '-out', `${name}.pem`);
}

beforeAll(() => {
  if (!hasOpenssl) return;
  folder = mkdtempSync(join(tmpdir(), 'tls-'));
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'ca.key'];
  openssl('req', '-x509', ...key, '-subj', '/CN=ca', '-days', '2', '-out', 'ca.pem');
  certify('server', 'DNS:localhost');
  certify('node-1', 'DNS:node-1');
});

afterAll(() => {
  if (folder !== '') rmSync(folder, { recursive: true, force: true });
});

describe.skipIf(!hasOpenssl)('mutual TLS', () => {
  test('a node gets its own resources, not those of another, and nothing without a certificate', async () => {
    const socketPath = join(folder, 'xds.sock');
    const tls = { certificate: read('server.pem'), key: read('server.key'), ca: read('ca.pem') };
    const plane = await ControlPlane.start({
      socketPath,
      log: silent,
      endpoints: [{ host: '127.0.0.1', port: 0, tls }],
    });
    plane.publish('node-1', [cluster('mine')]);
    plane.publish('node-2', [cluster('secret')]);
    const address = `localhost:${plane.ports[0]}`;
    const own = grpc.credentials.createSsl(read('ca.pem'), read('node-1.key'), read('node-1.pem'));
    const clients = [new RawClient(address, own), new RawClient(address, grpc.credentials.createSsl(read('ca.pem')))];
    try {
      const [certified, anonymous] = [clients[0]!, clients[1]!];
      const mine = certified.delta();
      mine.send({ node: { id: 'node-1' }, typeUrl: typeUrls.cluster });
      expect(namesOf(await mine.next())).toEqual(['mine']);
      const other = certified.delta();
      other.send({ node: { id: 'node-2' }, typeUrl: typeUrls.cluster });
      expect((await other.ended).code).toBe(grpc.status.PERMISSION_DENIED);
      expect(other.received).toEqual([]);
      const nobody = anonymous.delta();
      nobody.send({ node: { id: 'node-1' }, typeUrl: typeUrls.cluster });
      expect((await nobody.ended).code).toBe(grpc.status.UNAVAILABLE);
    } finally {
      for (const client of clients) client.close();
      await plane.close();
    }
  });
});
