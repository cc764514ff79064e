import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { findEnvoy } from '../envoy/index.ts';

const found = await findEnvoy({ fetch: false });

test.each(['none', ...(found.ok ? [found.path] : [])])(
  '--envoy %s: two nodes, a page through the tunnel, and nothing left',
  async envoy => {
    const temporary = mkdtempSync(join(tmpdir(), 'd-'));
    const child = spawn(process.execPath, [fileURLToPath(new URL('./demo.ts', import.meta.url))], {
      env: { ...process.env, TMPDIR: temporary, NEXD_ENVOY: envoy },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    child.stdout.on('data', chunk => {
      text += chunk;
    });
    child.stderr.on('data', chunk => {
      text += chunk;
    });
    const ended = new Promise<number | null>(resolve => child.on('close', resolve));
    await expect.poll(() => text, { timeout: 40_000 }).toContain('Ctrl-C ends both nodes');
    expect(text).toContain('Hello from the office');
    const url = /curl (http:\S+)/.exec(text)![1]!;
    expect(await (await fetch(`${url}again`)).text()).toContain('You asked for /again, visit 2.');
    await expect.poll(() => text.match(/\[laptop\].*egress connection/g)?.length, { timeout: 5000 }).toBe(2);
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    expect(readdirSync(temporary)).toEqual([]);
    const processes = readdirSync('/proc').filter(name => /^\d+$/.test(name) && existsSync(`/proc/${name}/cmdline`));
    const left = processes.filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(temporary);
      } catch {
        return false;
      }
    });
    expect(left).toEqual([]);
    rmSync(temporary, { recursive: true });
  },
);
