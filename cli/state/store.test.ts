import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Failure } from '../failure.ts';
import { StateStore } from './store.ts';

let directory: string;
let file: string;
let told: string[];
const log = (level: string, message: string) => told.push(`${level} ${message}`);
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nexd-state-'));
  file = join(directory, 'state.json');
  told = [];
});
afterEach(() => rmSync(directory, { recursive: true }));
const json = () => JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;

test('a new state: directory 0700, file 0600, the fields of Nexodus', () => {
  const inner = join(directory, 'a', 'b');
  StateStore.open(inner, log);
  expect(statSync(inner).mode & 0o777).toBe(0o700);
  expect(statSync(join(inner, 'state.json')).mode & 0o777).toBe(0o600);
  expect(readFileSync(join(inner, 'state.json'), 'utf8')).toBe(
    '{\n  "public-key": "",\n  "private-key": "",\n  "proxy-rules-config": {\n    "egress": null,\n    "ingress": null\n  },\n  "port": 0\n}\n',
  );
  expect(told).toEqual([]);
});

test('rules come back; empty lists are null', () => {
  const rules = { egress: ['tcp:80:10.0.0.1:80'], ingress: [] };
  StateStore.open(directory, log).saveRules(rules);
  expect(json()['proxy-rules-config']).toEqual({ egress: ['tcp:80:10.0.0.1:80'], ingress: null });
  expect(StateStore.open(directory, log).rules()).toEqual(rules);
});

test("a real nexd's fields stay as they are", () => {
  const theirs = {
    'auth-token': { access_token: 'a', expiry: 'b' },
    'public-key': 'P',
    'private-key': 'S',
    'proxy-rules-config': { egress: null, ingress: ['tcp:1:a:1'] },
    port: 4500,
    later: [1],
  };
  writeFileSync(file, JSON.stringify(theirs), { mode: 0o600 });
  const store = StateStore.open(directory, log);
  store.saveRules({ egress: ['udp:1:10.0.0.1:1'], ingress: [] });
  expect(json()).toEqual({ ...theirs, 'proxy-rules-config': { egress: ['udp:1:10.0.0.1:1'], ingress: null } });
});

describe('a file that cannot be read as state', () => {
  test.each([
    ['', 'it is empty'],
    ['{"proxy-rules-config"', 'it is not JSON'],
    ['\0\0\0\0', 'it is not JSON'],
    ['[]', 'it is not a JSON object'],
    ['null', 'it is not a JSON object'],
    ['{"proxy-rules-config":[]}', 'proxy-rules-config is not an object'],
    ['{"proxy-rules-config":{"egress":"tcp:1:a:1"}}', 'proxy-rules-config.egress is not a list of texts'],
    ['{"proxy-rules-config":{"ingress":[1]}}', 'proxy-rules-config.ingress is not a list of texts'],
  ])('%j is set aside and told', (text, reason) => {
    writeFileSync(file, text);
    const store = StateStore.open(directory, log);
    expect(store.rules()).toEqual({ egress: [], ingress: [] });
    const aside = readdirSync(directory).find(name => name.startsWith('state.json.corrupt-'))!;
    expect(readFileSync(join(directory, aside), 'utf8')).toBe(text);
    expect(told[0]).toBe(`error ${file} is corrupt (${reason}): set aside as ${join(directory, aside)}`);
    expect(told[1]).toBe('error no earlier state can be read: starting without stored rules');
    expect(store.warnings).toHaveLength(2);
  });

  test('the one before it is used when there is one', () => {
    const store = StateStore.open(directory, log);
    store.saveRules({ egress: ['tcp:1:10.0.0.1:1'], ingress: [] });
    store.saveRules({ egress: ['tcp:1:10.0.0.1:1', 'tcp:2:10.0.0.1:2'], ingress: [] });
    writeFileSync(file, 'garbage');
    expect(StateStore.open(directory, log).rules().egress).toEqual(['tcp:1:10.0.0.1:1']);
    expect(told[1]).toBe(`error using ${file}.previous instead: its last change may be missing`);
  });

  test('also when the last one is gone', () => {
    const store = StateStore.open(directory, log);
    store.saveRules({ egress: ['tcp:1:10.0.0.1:1'], ingress: [] });
    store.saveRules({ egress: [], ingress: ['tcp:2:a:2'] });
    rmSync(file);
    expect(StateStore.open(directory, log).rules().egress).toEqual(['tcp:1:10.0.0.1:1']);
    expect(told).toEqual([`error using ${file}.previous instead: ${file} is missing`]);
  });
});

describe('refused', () => {
  const refusal = (path: string): string => {
    try {
      StateStore.open(path, log);
    } catch (error) {
      expect(error).toBeInstanceOf(Failure);
      return (error as Failure).message;
    }
    throw new Error('not refused');
  };

  test('a directory that cannot be', () => {
    writeFileSync(join(directory, 'x'), '');
    expect(refusal(join(directory, 'x', 'y'))).toBe(`--state-dir ${directory}/x/y: cannot be made: not a directory`);
    expect(refusal('/proc/nexd')).toMatch(/^--state-dir \/proc\/nexd: cannot be made: /);
  });

  test('a directory that others may write to', () => {
    mkdirSync(join(directory, 'open'));
    chmodSync(join(directory, 'open'), 0o777);
    expect(refusal(join(directory, 'open'))).toBe(
      `--state-dir ${directory}/open: other users may write to it (mode 777)`,
    );
  });

  test('state.json is a directory', () => {
    mkdirSync(file);
    expect(refusal(directory)).toBe(`--state-dir: ${file} cannot be read: it is a directory`);
  });
});

test('a failed write leaves the old rules, here and on disk', () => {
  const store = StateStore.open(directory, log);
  store.saveRules({ egress: ['tcp:1:10.0.0.1:1'], ingress: [] });
  // Root may write anywhere, so the way in is blocked: the name of the temporary file is a directory that is not empty.
  mkdirSync(join(directory, `state.json.tmp-${process.pid}`, 'x'), { recursive: true });
  expect(() => store.saveRules({ egress: [], ingress: [] })).toThrow(/^the rules cannot be stored in .*state\.json: /);
  expect(store.rules().egress).toEqual(['tcp:1:10.0.0.1:1']);
  rmSync(join(directory, `state.json.tmp-${process.pid}`), { recursive: true });
  expect(StateStore.open(directory, log).rules().egress).toEqual(['tcp:1:10.0.0.1:1']);
});

describe('TAI64N stamps', () => {
  const stamp = (seconds: number, nano: number) => {
    const bytes = new Uint8Array(12);
    new DataView(bytes.buffer).setBigUint64(0, (1n << 62n) + BigInt(seconds));
    new DataView(bytes.buffer).setUint32(8, nano);
    return bytes;
  };

  test('after a crash the kept one is not older than any in use; few are written', () => {
    const store = StateStore.open(directory, log);
    let writes = 0;
    let last = '';
    for (let ms = 0; ms < 60_000; ms += 100) {
      store.saveStamp('K', stamp(1000 + Math.floor(ms / 1000), (ms % 1000) * 1e6));
      const text = readFileSync(file, 'utf8');
      if (text !== last) writes++;
      last = text;
    }
    expect(writes).toBeGreaterThan(8);
    expect(writes).toBeLessThan(14);
    const kept = StateStore.open(directory, log).stamp('K')!;
    expect(Buffer.compare(kept, stamp(1059, 900e6))).toBeGreaterThanOrEqual(0);
  });

  test('after an orderly end it is the last one; another key has none', () => {
    const store = StateStore.open(directory, log);
    store.saveStamp('K', stamp(1000, 1));
    store.saveStamp('K', stamp(1001, 2));
    store.close();
    expect(StateStore.open(directory, log).stamp('K')).toEqual(stamp(1001, 2));
    expect(StateStore.open(directory, log).stamp('L')).toBeUndefined();
  });

  test('a carry goes into the seconds', () => {
    const store = StateStore.open(directory, log);
    store.saveStamp('K', stamp(0xfe, 999));
    expect(Buffer.from(StateStore.open(directory, log).stamp('K')!).toString('hex')).toBe('4000000000000103000003e7');
  });
});

test('killed in the middle of writing, again and again: always a state that was written', async () => {
  const script = `
    const { StateStore } = await import(${JSON.stringify(new URL('./store.ts', import.meta.url).href)});
    const store = StateStore.open(${JSON.stringify(directory)}, (...told) => console.log('told', ...told));
    let n = store.rules().egress.length === 0 ? 0 : Number(store.rules().egress[0].split(':')[1]);
    console.log('open', n);
    for (;;) { n = (n % 65535) + 1; store.saveRules({ egress: Array(50).fill('tcp:' + n + ':10.0.0.1:1'), ingress: [] }); }
  `;
  StateStore.open(directory, log).saveRules({ egress: Array<string>(50).fill('tcp:1:10.0.0.1:1'), ingress: [] });
  for (let round = 0; round < 12; round++) {
    const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const output: string[] = [];
    child.stdout!.on('data', chunk => output.push(String(chunk)));
    for (let wait = 0; wait < 2000 && !output.join('').includes('open'); wait++) await sleep(5);
    expect(output.join('')).toContain('open');
    await sleep(5 + round * 3);
    child.kill('SIGKILL');
    await new Promise(resolve => child.on('close', resolve));
    expect(output.join('')).not.toContain('told');
    const store = StateStore.open(directory, log);
    expect(new Set(store.rules().egress).size).toBe(1);
    expect(store.rules().egress).toHaveLength(50);
  }
  expect(told).toEqual([]);
  expect(existsSync(`${file}.tmp-1`)).toBe(false);
  expect(readdirSync(directory).sort()).toEqual(['state.json', 'state.json.previous']);
});
