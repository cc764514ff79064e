/**
 * Envoy listens: our control plane gives it the rules over xDS, and it is our child, or someone else's who was given
 * `nexodus.yaml`.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlPlane, type Log, type Resource } from '../../controlplane/index.ts';
import { buildResources, type UdpPort } from '../../controlplane/resources/index.ts';
import { bootstrapYaml, EnvoyAdmin, EnvoySupervisor } from '../../envoy/index.ts';
import { readFilter } from '../../extension/index.ts';
import type { ProxyKey } from '../../rules/index.ts';
import { Failure, reasonOf } from '../failure.ts';
import type { LogFunction } from '../log.ts';
import { freeLoopbackUdpPort, hasIPv6 } from './bind-probe.ts';
import type { StartContext } from './daemon.ts';
import { listeningPorts } from './listening.ts';
import type { Front, FrontStatus, KeyReport, RejectedRule, ServedKey } from './parts.ts';

export type WhichEnvoy = { kind: 'child'; path: string; version: string } | { kind: 'external' };

/** The node id in nexodus.yaml; one Envoy per control plane here. */
const NODE_ID = 'nexd';
/** Envoy takes about a second to start, more on a busy machine. */
const START_WITHIN = 30_000;
const CHANGE_WITHIN = 10_000;
const POLL = 30;
/** What Envoy refuses is offered again this often (ms): a port that was taken may be free. */
const RETRY = 5000;

const POLICY_PREFIX = 'policy/';

/** The proxy key that a resource belongs to. */
const keyOfResource = (name: string): string =>
  name.startsWith(POLICY_PREFIX) ? name.slice(POLICY_PREFIX.length) : name;

export class EnvoyFront implements Front {
  private readonly context: StartContext;
  private readonly which: WhichEnvoy;
  private readonly plane: ControlPlane;
  private readonly admin: EnvoyAdmin;
  private readonly log: LogFunction;
  private supervisor: EnvoySupervisor | undefined;
  private readonly ingressUdpPorts = new Map<string, number>();
  private served: ReadonlySet<string> = new Set();
  private begun = false;
  private lastRefusal = '';
  private readonly retryTimer: NodeJS.Timeout;
  private closing = false;

  private constructor(context: StartContext, which: WhichEnvoy, plane: ControlPlane) {
    this.context = context;
    this.which = which;
    this.plane = plane;
    this.admin = new EnvoyAdmin(context.paths.adminSocket);
    this.log = context.logger.log;
    this.retryTimer = setInterval(() => {
      if (this.rejected().length > 0) plane.retry(NODE_ID);
    }, RETRY).unref();
    plane.on('nack', ({ rejected, message }) => {
      const told = `Envoy refuses ${rejected.map(keyOfResource).join(', ')}: ${message}`;
      // Said again at each retry.
      if (told !== this.lastRefusal) this.log('error', told);
      this.lastRefusal = told;
    });
  }

  /** Put Envoy's files in place and open the control plane; Envoy itself starts with the first `serve`. */
  static async open(context: StartContext, which: WhichEnvoy): Promise<EnvoyFront> {
    const { paths, logger } = context;
    const filter = readFilter();
    if (!filter.ok) throw new Failure(filter.error);
    writeFileSync(paths.filterWasm, filter.module.bytes, { mode: 0o600 });
    mkdirSync(join(paths.ingressDirectory, 'tcp'), { recursive: true, mode: 0o700 });
    const { xdsSocket, adminSocket } = paths;
    writeFileSync(paths.bootstrap, bootstrapYaml({ nodeId: NODE_ID, xdsSocket, adminSocket }), { mode: 0o600 });
    const at = (level: 'debug' | 'info' | 'warn') => (fields: object, message: string) =>
      logger.log(level === 'info' ? 'debug' : level, message, fields as Record<string, unknown>);
    // A node that connects is news to a fleet; here it is the one Envoy that we tell of ourselves.
    const log: Log = { debug: at('debug'), info: at('info'), warn: at('debug') };
    try {
      return new EnvoyFront(context, which, await ControlPlane.start({ socketPath: xdsSocket, log }));
    } catch (error) {
      throw new Failure(`the control plane cannot listen on ${xdsSocket}: ${reasonOf(error)}`);
    }
  }

  async prepare(keys: ProxyKey[]): Promise<Map<string, number>> {
    const wanted = keys.filter(key => key.direction === 'ingress' && key.protocol === 'udp').map(key => key.name);
    for (const name of this.ingressUdpPorts.keys()) if (!wanted.includes(name)) this.ingressUdpPorts.delete(name);
    for (const name of wanted) {
      if (!this.ingressUdpPorts.has(name)) this.ingressUdpPorts.set(name, await freeLoopbackUdpPort());
    }
    return new Map(this.ingressUdpPorts);
  }

  async serve(keys: ServedKey[], reports: KeyReport[], changed: ReadonlySet<string>): Promise<void> {
    const resources = this.build(keys, reports);
    this.plane.publish(NODE_ID, resources);
    const removed = [...this.served].filter(name => !keys.some(key => key.name === name));
    this.served = new Set(keys.map(key => key.name));
    const first = !this.begun;
    this.begun = true;
    if (first) await this.startEnvoy();
    // An Envoy that is not there yet, or not there just now, gets everything when it comes.
    if (!this.connected()) return;
    await this.settled(changed, removed, first ? START_WITHIN : CHANGE_WITHIN);
  }

  private build(keys: ServedKey[], reports: KeyReport[]): Resource[] {
    const { settings, paths } = this.context;
    const udpPorts = new Map<string, UdpPort[]>();
    for (const report of reports) if (report.udpPorts !== undefined) udpPorts.set(report.name, report.udpPorts);
    const built = buildResources({
      keys,
      bind: settings.bind,
      ipv6: hasIPv6(),
      paths,
      udpPorts,
      ingressUdpPorts: this.ingressUdpPorts,
    });
    if (!built.ok) throw new Failure(built.errors.map(({ key, error }) => `${key}: ${error}`).join('; '));
    return built.resources;
  }

  private async startEnvoy(): Promise<void> {
    const { paths, logger } = this.context;
    if (this.which.kind === 'external') return;
    const supervisor = new EnvoySupervisor({
      binary: this.which.path,
      configPath: paths.bootstrap,
      adminSocket: paths.adminSocket,
      // Its words about its own end are no news to who ends it.
      log: (level, message, fields) => this.log(this.closing ? 'debug' : level, message, fields),
      logLevel: logger.level(),
    });
    this.supervisor = supervisor;
    supervisor.start();
    try {
      await supervisor.untilReady(AbortSignal.timeout(START_WITHIN));
    } catch (error) {
      throw new Failure(`Envoy (${this.which.path}) did not start: ${this.rejection() ?? reasonOf(error)}`);
    }
    logger.onLevel(level => {
      supervisor.setLogLevel(level).catch(error => this.log('warn', `Envoy's log level stays: ${reasonOf(error)}`));
    });
    supervisor.on('exit', () => this.log('warn', 'Envoy has ended, starting it again'));
    supervisor.on('ready', () => this.log('info', `Envoy is back (pid ${supervisor.pid})`));
  }

  private connected(): boolean {
    return this.plane.status().some(node => node.nodeId === NODE_ID && node.connected);
  }

  private rejected(): RejectedRule[] {
    const node = this.plane.status().find(({ nodeId }) => nodeId === NODE_ID);
    return (node?.rejectedResources ?? []).map(({ name, message }) => ({ name: keyOfResource(name), message }));
  }

  private rejection(): string | undefined {
    const [first] = this.rejected();
    return first === undefined ? undefined : `${first.name}: ${first.message}`;
  }

  /** Wait until Envoy has taken all, listens for the changed keys, and no more for the removed ones. Throws Failure. */
  private async settled(changed: ReadonlySet<string>, removed: readonly string[], within: number): Promise<void> {
    const until = performance.now() + within;
    for (;;) {
      const refused = this.rejected().find(({ name }) => changed.has(name));
      if (refused !== undefined) throw new Failure(`${refused.name}: refused by Envoy: ${refused.message}`);
      const waiting = await this.waitingFor(changed, removed);
      if (waiting === undefined) return;
      if (performance.now() > until) throw new Failure(`Envoy: ${waiting} within ${within / 1000} s`);
      await sleep(POLL);
    }
  }

  /** What is still missing, or undefined. */
  private async waitingFor(changed: ReadonlySet<string>, removed: readonly string[]): Promise<string | undefined> {
    const node = this.plane.status().find(({ nodeId }) => nodeId === NODE_ID);
    // It went away: it will be given everything when it is back.
    if (node?.connected !== true) return undefined;
    const late = node.types.find(type => !type.synced && type.rejected === undefined);
    if (late !== undefined) return `did not answer for ${late.typeUrl.slice(late.typeUrl.lastIndexOf('.') + 1)}`;
    let listeners: Set<string>;
    try {
      listeners = new Set((await this.admin.listeners()).map(({ name }) => name));
    } catch (error) {
      return `its admin socket does not answer (${reasonOf(error)})`;
    }
    // Someone else's Envoy may be in another network namespace.
    const ours = this.which.kind === 'child';
    const open = { tcp: ours ? listeningPorts('tcp') : undefined, udp: ours ? listeningPorts('udp') : undefined };
    for (const name of changed) {
      if (!listeners.has(name)) return `did not open ${name}`;
      const [direction, protocol, port] = name.split('/') as [string, 'tcp' | 'udp', string];
      if (direction === 'egress' && open[protocol]?.has(Number(port)) === false) return `does not listen for ${name}`;
    }
    const left = removed.find(name => listeners.has(name));
    return left === undefined ? undefined : `did not close ${left}`;
  }

  status(): FrontStatus {
    const rejected = this.rejected();
    if (this.which.kind === 'external') {
      const ready = this.connected();
      const state = ready ? 'connected (run by someone else)' : `waiting for envoy -c ${this.context.paths.bootstrap}`;
      return { kind: 'external', state, ready, rejected };
    }
    const ready = this.supervisor?.ready ?? false;
    const { version } = this.which;
    const state = ready ? `${version} running (pid ${this.supervisor?.pid})` : `${version} not running, being started`;
    return { kind: 'child', state, ready, rejected };
  }

  async close(): Promise<void> {
    this.closing = true;
    clearInterval(this.retryTimer);
    this.plane.removeAllListeners('nack');
    await this.supervisor?.stop();
    await this.plane.close();
  }
}
