import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { ToWorker, WorkerStart } from './datapath/messages.ts';
import { WorkerLink } from './worker-link.ts';

const start: Omit<WorkerStart, 'port'> = {
  addresses: [],
  listenPort: 0,
  mtu: 1420,
  memoryBytes: 32 << 20,
  // Without idle times the thread has no timer at all: it sleeps until someone wakes it.
  relays: { mode: 'none', bind: '127.0.0.1', runtimeDirectory: '/nonexistent', tcpIdleSeconds: 0 },
  handshakes: new SharedArrayBuffer(8),
};

const peer: ToWorker = {
  type: 'peer-add',
  id: 0,
  publicKeyBase64: '',
  peer: { publicKey: new Uint8Array(32), allowedIps: [] },
};

describe('WorkerLink', () => {
  it('tells once, with the reason, when the data path fails, and refuses what is asked of it then', async () => {
    const gone: Error[] = [];
    const { link } = await WorkerLink.start(
      start,
      () => {},
      error => gone.push(error),
    );
    link.send(peer);
    const waiting = link.request({ type: 'status' });
    expect((await waiting).peers.map(({ id }) => id)).toEqual([0]);
    link.send(peer);
    const lost = link.request({ type: 'status' });
    await expect(lost).rejects.toThrow('peer 0 is there already');
    await expect(link.request({ type: 'status' })).rejects.toThrow('peer 0');
    expect(gone.map(({ message }) => message)).toEqual(['peer 0 is there already']);
    await link.close();
  });

  it('rejects with what kept the data path from starting', async () => {
    const bad = { ...start, relays: { ...start.relays, mode: 'envoy' as const } };
    const gone: Error[] = [];
    await expect(
      WorkerLink.start(
        bad,
        () => {},
        error => gone.push(error),
      ),
    ).rejects.toThrow(/nonexistent.*companion\.sock/);
    expect(gone).toEqual([]);
  });

  it('does not keep a process that exits without closing it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'worker-link-'));
    const script = join(directory, 'exits.mjs');
    const source = fileURLToPath(new URL('./worker-link.ts', import.meta.url));
    writeFileSync(
      script,
      `import { WorkerLink } from ${JSON.stringify(source)};
       const start = ${JSON.stringify(start)};
       await WorkerLink.start({ ...start, handshakes: new SharedArrayBuffer(8) }, () => {}, () => {});
       process.exit(7);`,
    );
    const ended = promisify(execFile)(process.execPath, [script], { timeout: 20_000 });
    await expect(ended).rejects.toMatchObject({ code: 7, killed: false });
    rmSync(directory, { recursive: true });
  });
});
