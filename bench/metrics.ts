// What the figures are called, in the order of the table, and which of them are drawn together.

export interface Metric {
  /** Measurement and field. */
  readonly id: string;
  readonly label: string;
  readonly unit: string;
  /** Which way is better, where there is one. */
  readonly better?: 'more' | 'less';
}

function bulk(name: string, label: string): Metric[] {
  return [
    { id: `${name}.rate`, label, unit: 'Mbit/s', better: 'more' },
    { id: `${name}.cpu`, label: `${label}, CPU`, unit: 's/GB', better: 'less' },
    { id: `${name}.envoy`, label: `${label}, CPU of Envoy alone`, unit: 's/GB' },
    { id: `${name}.far`, label: `${label}, CPU of the far end`, unit: 's/GB' },
  ];
}

function exchanges(name: string, label: string, one: string, rate: string): Metric[] {
  return [
    { id: `${name}.p50`, label: `${label}, p50`, unit: 'µs', better: 'less' },
    { id: `${name}.p99`, label: `${label}, p99`, unit: 'µs', better: 'less' },
    { id: `${name}.rate`, label: rate, unit: '/s', better: 'more' },
    { id: `${name}.cpu`, label: `CPU of ${one}`, unit: 'µs', better: 'less' },
    { id: `${name}.envoy`, label: `CPU of ${one}, Envoy alone`, unit: 'µs' },
    { id: `${name}.far`, label: `CPU of ${one}, far end`, unit: 'µs' },
  ];
}

export const METRICS: readonly Metric[] = [
  ...bulk('up1', 'sending, 1 stream'),
  ...bulk('down1', 'receiving, 1 stream'),
  ...bulk('up8', 'sending, 8 streams'),
  ...bulk('down8', 'receiving, 8 streams'),
  ...bulk('in1', 'ingress, in'),
  ...bulk('out1', 'ingress, out'),
  ...exchanges('rtt1', 'round trip, 1 connection', 'a round trip, 1 connection', 'round trips, 1 connection'),
  ...exchanges('rtt64', 'round trip, 64 connections', 'a round trip, 64 connections', 'round trips, 64 connections'),
  ...exchanges('connect', 'connect, echo, close; 16 at once', 'a connection', 'connections'),
  { id: 'udp.rate', label: 'UDP flood, 1,200 bytes: arrived', unit: '/s', better: 'more' },
  { id: 'udp.sent', label: 'UDP flood: offered', unit: '/s' },
  { id: 'udp.cpu', label: 'CPU of a datagram that arrived', unit: 'µs', better: 'less' },
  { id: 'udp.envoy', label: 'CPU of a datagram that arrived, Envoy alone', unit: 'µs' },
  { id: 'udp.far', label: 'CPU of a datagram that arrived, far end', unit: 'µs' },
  { id: 'memory.idle', label: 'resident memory, idle', unit: 'MB', better: 'less' },
  { id: 'memory.connection', label: 'resident memory of an idle connection', unit: 'kB', better: 'less' },
];

export interface ChartPlan {
  readonly file: string;
  readonly title: string;
  readonly metrics: readonly string[];
}

const BULK = ['up1', 'down1', 'up8', 'down8', 'in1', 'out1'];

export const CHARTS: readonly ChartPlan[] = [
  { file: 'throughput.svg', title: 'Throughput (more is better)', metrics: BULK.map(name => `${name}.rate`) },
  { file: 'cpu.svg', title: 'CPU per gigabyte (less is better)', metrics: BULK.map(name => `${name}.cpu`) },
  {
    file: 'latency.svg',
    title: 'Round trip of 64 bytes (less is better)',
    metrics: ['rtt1.p50', 'rtt1.p99', 'rtt64.p50', 'rtt64.p99'],
  },
  {
    file: 'rates.svg',
    title: 'Events per second (more is better)',
    metrics: ['rtt64.rate', 'connect.rate', 'udp.rate'],
  },
  { file: 'memory.svg', title: 'Memory (less is better)', metrics: ['memory.idle', 'memory.connection'] },
];
