// One function a test: what is done to a system, and the figures that come of it.
import { type LoadResult, load, loadPids, startLoad } from './load.ts';
import { cpuOf, cpuOfOthers, rssOf } from './processes.ts';
import { DATAGRAM, FAR_ADDRESS, type Setting } from './setting.ts';
import type { System } from './systems.ts';

export interface Options {
  /** Length of a measured window. */
  readonly seconds: number;
  /** Connections that the memory test holds. */
  readonly idle: number;
}

export interface Measured {
  /** By metric, see metrics.ts. */
  readonly values: Record<string, number>;
  /** Cores that processes used which are neither the system, nor the far end, nor the load. */
  readonly noise?: number;
  /** Failures within the window that did not spoil it. */
  readonly errors: number;
}

export interface Measurement {
  readonly name: string;
  /** Seconds that it takes, about. */
  readonly cost: (options: Options) => number;
  readonly run: (setting: Setting, system: System, options: Options) => Promise<Measured>;
}

/** Between the start of the load and the window: connections stand and have left slow start. */
const LEAD_MS = 700;
/** How long after the window the load may still answer. */
const PATIENCE_MS = 10_000;
const DATAGRAM_BYTES = 1200;
const ECHO_BYTES = 64;
const CONNECTIONS_AT_ONCE = 16;
const IDLE_PATIENCE_MS = 90_000;
const GIGABYTE = 1e9;
/** In a second. */
const MICROSECONDS = 1e6;

const until = (unixMs: number) => new Promise(resolve => setTimeout(resolve, Math.max(0, unixMs - Date.now())));

interface Window {
  readonly result: LoadResult;
  /** Seconds of CPU within the window. */
  readonly cpu: { readonly all: number; readonly envoy: number; readonly far: number };
  readonly noise: number;
}

type Start = (begin: number, end: number, patienceMs: number) => Promise<LoadResult>;

async function inWindow(setting: Setting, system: System, seconds: number, start: Start): Promise<Window> {
  const begin = Date.now() + LEAD_MS;
  const end = begin + seconds * 1000;
  const loading = start(begin, end, LEAD_MS + seconds * 1000 + PATIENCE_MS);
  loading.catch(() => {});
  const sample = () => {
    const pids = system.pids();
    const others = cpuOfOthers([process.pid, setting.farPid, ...pids, ...loadPids()]);
    const [all, envoy, far] = [pids, system.envoyPids(), [setting.farPid]].map(cpuOf) as [number, number, number];
    return { all, envoy, far, others, at: performance.now() };
  };
  await until(begin);
  const before = sample();
  await until(end);
  const after = sample();
  return {
    result: await loading,
    cpu: { all: after.all - before.all, envoy: after.envoy - before.envoy, far: after.far - before.far },
    noise: (after.others - before.others) / ((after.at - before.at) / 1000),
  };
}

/** CPU of one thing done, in units of `scale` a second. Envoy's part only where there is one. */
function cpuEach(name: string, { cpu }: Window, things: number, scale: number): Record<string, number> {
  const each = (seconds: number) => (seconds * scale) / things;
  return {
    [`${name}.cpu`]: each(cpu.all),
    ...(cpu.envoy > 0 && { [`${name}.envoy`]: each(cpu.envoy) }),
    [`${name}.far`]: each(cpu.far),
  };
}

function bulk(name: string, direction: 'up' | 'down', streams: number, from: 'near' | 'far'): Measurement {
  return {
    name,
    cost: ({ seconds }) => seconds + 1.5,
    async run(setting, system, { seconds }) {
      const to = from === 'near' ? system.egress.bulk : system.ingress.bulk;
      const window = await inWindow(setting, system, seconds, (begin, end, patienceMs) =>
        load(setting.network[from], ['bulk', direction, to, streams, begin, end], patienceMs),
      );
      const bytes = window.result.bytes ?? 0;
      if (bytes === 0) throw new Error('no byte arrived');
      return {
        values: {
          [`${name}.rate`]: (bytes * 8) / 1e6 / seconds,
          ...cpuEach(name, window, bytes / GIGABYTE, 1),
        },
        noise: window.noise,
        errors: window.result.errors ?? 0,
      };
    },
  };
}

/** Round trips on open connections, or of a connection each. */
function exchanges(name: string, command: (to: string) => (string | number)[]): Measurement {
  return {
    name,
    cost: ({ seconds }) => seconds + 1,
    async run(setting, system, { seconds }) {
      const window = await inWindow(setting, system, seconds, (begin, end, patienceMs) =>
        load(setting.network.near, [...command(system.egress.echo), begin, end], patienceMs),
      );
      const { count = 0, p50 = 0, p99 = 0, errors = 0 } = window.result;
      if (count === 0) throw new Error('nothing came back');
      return {
        values: {
          [`${name}.p50`]: p50,
          [`${name}.p99`]: p99,
          [`${name}.rate`]: count / seconds,
          ...cpuEach(name, window, count, MICROSECONDS),
        },
        noise: window.noise,
        errors,
      };
    },
  };
}

const udp: Measurement = {
  name: 'udp',
  cost: ({ seconds }) => seconds + 1,
  async run(setting, system, { seconds }) {
    const { near, far } = setting.network;
    let sent = 0;
    const window = await inWindow(setting, system, seconds, async (begin, end, patienceMs) => {
      const [arrived, flooded] = await Promise.all([
        load(far, ['sink', `${FAR_ADDRESS}:${DATAGRAM}`, begin, end], patienceMs),
        load(near, ['flood', system.egress.datagram, DATAGRAM_BYTES, begin, end], patienceMs),
      ]);
      sent = flooded.count ?? 0;
      return arrived;
    });
    const arrived = window.result.count ?? 0;
    if (arrived === 0) throw new Error(`none of ${sent} datagrams arrived`);
    return {
      values: {
        'udp.rate': arrived / seconds,
        'udp.sent': sent / seconds,
        ...cpuEach('udp', window, arrived, MICROSECONDS),
      },
      noise: window.noise,
      errors: 0,
    };
  },
};

const memory: Measurement = {
  name: 'memory',
  cost: ({ idle }) => 5 + idle / 1000,
  async run(setting, system, { idle }) {
    // A fresh process: what earlier tests left in its heap is not what an idle one holds.
    await system.stop();
    await system.start();
    await until(Date.now() + 1000);
    const alone = rssOf(system.pids());
    const holding = startLoad(setting.network.near, ['idle', system.egress.echo, idle], IDLE_PATIENCE_MS);
    try {
      const held = (await holding.result).count ?? 0;
      await until(Date.now() + 500);
      const loaded = rssOf(system.pids());
      if (held === 0) throw new Error('no connection could be opened');
      return {
        values: { 'memory.idle': alone / 1e6, 'memory.connection': (loaded - alone) / 1e3 / held },
        errors: idle - held,
      };
    } finally {
      await holding.end();
    }
  },
};

/** By the names that `--tests` takes. */
export const TESTS: Readonly<Record<string, readonly Measurement[]>> = {
  memory: [memory],
  throughput: [
    bulk('up1', 'up', 1, 'near'),
    bulk('down1', 'down', 1, 'near'),
    bulk('up8', 'up', 8, 'near'),
    bulk('down8', 'down', 8, 'near'),
  ],
  ingress: [bulk('in1', 'up', 1, 'far'), bulk('out1', 'down', 1, 'far')],
  latency: [
    exchanges('rtt1', to => ['echo', to, 1, ECHO_BYTES]),
    exchanges('rtt64', to => ['echo', to, 64, ECHO_BYTES]),
  ],
  connections: [exchanges('connect', to => ['connect', to, CONNECTIONS_AT_ONCE])],
  udp: [udp],
};
