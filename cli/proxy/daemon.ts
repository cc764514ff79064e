/**
 * `nexd proxy`: starts the parts in order, tells when it is ready, serves the control socket, takes everything down.
 *
 * Whatever can be refused is refused before anything listens; whatever fails later takes all that was started with it.
 */

import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { x25519 } from '@noble/curves/ed25519.js';
import { type Direction, formatRule, type ProxyKey, proxyKeys } from '../../rules/index.ts';
import { ControlServer } from '../control/index.ts';
import { defaultSocketPath } from '../control/socket-path.ts';
import { Failure, reasonOf } from '../failure.ts';
import type { Logger } from '../log.ts';
import type { ProxySettings } from '../nexd/proxy-settings.ts';
import { StateStore } from '../state/index.ts';
import { version } from '../version.ts';
import { within } from '../within.ts';
import { Closers } from './closers.ts';
import { describeKey } from './describe.ts';
import { type ControlledDaemon, controlMethods, isHealthy } from './methods.ts';
import type { DataPath, DataPathStatus, Front, ServedKey } from './parts.ts';
import { type Probe, probeKeys, RuleService } from './rule-service.ts';
import { RuntimeDirectory, type RuntimePaths } from './runtime-directory.ts';

/** One part may take this long to end (ms): Envoy is given 5 s before it is killed. */
const CLOSE_WITHIN = 6000;

/** A start that was interrupted may go on this long to the end of its step (ms). */
const START_PATIENCE = 3000;

/** For a status that is asked for (ms). */
const STATUS_WITHIN = 3000;

/** A change asked for while starting waits this long (ms); the real nexd lets it wait for ever. */
const CHANGE_WAIT = 20_000;

/** How the parts are made; apart, so that the daemon can be run with others. */
export interface PartMakers {
  /** Find what the front needs before anything starts (Envoy's binary). Throws Failure. */
  findFront(settings: ProxySettings, logger: Logger, signal: AbortSignal): Promise<FrontMaker>;
  startDataPath(context: StartContext): Promise<DataPath>;
}

export type FrontMaker = (context: StartContext) => Promise<Front>;

export interface StartContext {
  settings: ProxySettings;
  paths: RuntimePaths;
  logger: Logger;
  publicKey: string;
  state: StateStore;
  /** The data path can go on no more. */
  fatal: (reason: string) => void;
}

export class ProxyDaemon implements ControlledDaemon {
  readonly logger: Logger;
  private readonly settings: ProxySettings;
  private readonly makers: PartMakers;
  private readonly closers: Closers;
  private readonly print: (line: string) => void;
  private readonly publicKey: string;
  private state: StateStore | undefined;
  private dataPath: DataPath | undefined;
  private front: Front | undefined;
  private service: RuleService | undefined;
  private bootstrap = '';
  private isRunning = false;
  private readonly started = Promise.withResolvers<void>();
  private readonly failed = Promise.withResolvers<never>();

  /** `print`: a line for standard output. */
  constructor(settings: ProxySettings, logger: Logger, makers: PartMakers, print: (line: string) => void) {
    this.settings = settings;
    this.logger = logger;
    this.makers = makers;
    this.print = print;
    this.closers = new Closers(logger.log, CLOSE_WITHIN);
    this.publicKey = Buffer.from(x25519.getPublicKey(settings.wireguard.privateKey)).toString('base64');
    // Awaited by whoever runs us, if at all.
    this.failed.promise.catch(() => {});
    this.started.promise.catch(() => {});
  }

  /**
   * Run until the signal. Throws Failure: could not start, or could not go on. All is taken down in either case;
   * `stopping` is called when that begins.
   */
  async run(signal: AbortSignal, stopping: () => void): Promise<void> {
    const aborted = new Promise<void>(resolve => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    const starting = this.start(signal);
    try {
      await Promise.race([starting, aborted, this.failed.promise]);
      await Promise.race([aborted, this.failed.promise]);
    } finally {
      this.isRunning = false;
      stopping();
      // A part that is being started can be taken down only when it is there.
      await Promise.race([starting.catch(() => {}), sleep(START_PATIENCE, undefined, { ref: false })]);
      await this.closers.close();
    }
  }

  /** Waiting for the parts to end is over. */
  abandon(): void {
    this.closers.abandon();
  }

  private async start(signal: AbortSignal): Promise<void> {
    const { settings, logger, closers } = this;
    for (const warning of settings.warnings) logger.log('warn', warning);

    // First of all: two daemons must not share a state file.
    const control = await ControlServer.listen(settings.unixSocket, controlMethods(this));
    closers.add(
      'control socket',
      () => control.close(),
      () => rmSync(settings.unixSocket, { force: true }),
    );
    const state = StateStore.open(settings.stateDirectory, logger.log);
    this.state = state;
    closers.add('state', () => state.close());
    const { book, setAside } = settings.book.withStored(state.rules());
    for (const { direction, rule, reason } of setAside) {
      const warning = `stored ${direction} rule ${JSON.stringify(rule)} is set aside: ${reason}`;
      state.warnings.push(warning);
      logger.log('error', warning);
    }
    if (setAside.length > 0) state.saveRules(book.stored(), [...state.setAsideRules(), ...setAside]);

    const makeFront = await this.makers.findFront(settings, logger, signal);
    const keys = proxyKeys(book.rules());
    const external = settings.envoy.kind === 'external';
    // An Envoy of someone else may listen elsewhere, or listen already, with the rules of the nexd before us.
    const probe: Probe = external ? async () => new Map() : some => probeKeys(some, settings.bind);
    const held = await probe(keys);
    for (const [name, problem] of held) {
      const key = keys.find(one => one.name === name)!;
      // Who types a rule wants to know at once; for one kept from before, the others must not stay away.
      const typed = proxyKeys(settings.book.rules()).some(flag => flag.name === name);
      if (typed) throw new Failure(`Failed to add ${describeRule(key)}: ${problem}`);
      logger.log('error', `stored ${describeRule(key)} cannot be served, trying again: ${problem}`);
    }
    for (const name of settings.policies.keys()) {
      if (!keys.some(key => key.name === name)) logger.log('warn', `the policy of ${name} has no rule yet`);
    }

    const runtime = RuntimeDirectory.prepare(settings.runtimeDirectory, instanceName(settings.unixSocket));
    const remove = () => runtime.remove(external);
    closers.add('runtime directory', remove, remove);
    this.bootstrap = runtime.paths.bootstrap;
    const context: StartContext = {
      settings,
      paths: runtime.paths,
      logger,
      publicKey: this.publicKey,
      state,
      fatal: reason => this.failed.reject(new Failure(reason)),
    };
    if (signal.aborted) return;
    const dataPath = await this.makers.startDataPath(context);
    this.dataPath = dataPath;
    closers.add('data path', () => dataPath.close());
    if (signal.aborted) return;
    const front = await makeFront(context);
    this.front = front;
    closers.add('front', () => front.close());
    if (signal.aborted) return;
    const { policies, udpIdleSeconds } = settings;
    const idle = udpIdleSeconds !== undefined ? { udpIdleSeconds } : {};
    const service = new RuleService({ book, policies, probe, state, dataPath, front, log: logger.log, held, ...idle });
    closers.add('rules', () => service.close());
    this.service = service;
    await service.start();
    if (signal.aborted) return;
    await this.announce(service, dataPath, front);
  }

  private async announce(service: RuleService, dataPath: DataPath, front: Front): Promise<void> {
    for (const key of service.keys()) this.print(describeKey(key, this.settings.bind, this.tunnelAddresses()));
    const { listenPort } = await within(STATUS_WITHIN, 'the data path', dataPath.status());
    this.isRunning = true;
    this.started.resolve();
    const count = service.list().length;
    const { kind, state, ready } = front.status();
    if (kind === 'external' && !ready) this.print(`start Envoy with: envoy -c ${this.bootstrap}`);
    this.print(
      `ready: ${count} ${count === 1 ? 'rule' : 'rules'}, ${this.settings.interfaceName} ${this.tunnelAddresses().join(' ')} on UDP port ${listenPort}, Envoy ${state}, control socket ${this.settings.unixSocket}`,
    );
  }

  running(): boolean {
    return this.isRunning;
  }

  async ready(): Promise<void> {
    if (this.isRunning) return;
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Failure('nexd is still starting, try again later')), CHANGE_WAIT);
    try {
      await Promise.race([this.started.promise, promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  tunnelAddresses(): string[] {
    return this.settings.wireguard.addresses.map(text => text.slice(0, text.indexOf('/')));
  }

  rules(): string[] {
    return this.service?.list() ?? [];
  }

  async addRule(direction: Direction, text: string): Promise<void> {
    await this.service!.add(direction, text);
    this.logger.log('info', `added ${direction} rule ${text}`);
  }

  async removeRule(direction: Direction, text: string): Promise<void> {
    await this.service!.remove(direction, text);
    this.logger.log('info', `removed ${direction} rule ${text}`);
  }

  async dataPathStatus(): Promise<DataPathStatus | undefined> {
    return this.dataPath && (await within(STATUS_WITHIN, 'the data path', this.dataPath.status()));
  }

  async detail(): Promise<object> {
    const warnings = [...(this.state?.warnings ?? [])];
    const data = await this.dataPathStatus().catch(error => {
      warnings.push(reasonOf(error));
      return undefined;
    });
    const front = this.front?.status();
    const rejected = front?.rejected ?? [];
    return {
      version: version(),
      status: this.isRunning ? 'Running' : 'Starting',
      interface: {
        name: this.settings.interfaceName,
        publicKey: data?.publicKey ?? this.publicKey,
        addresses: this.settings.wireguard.addresses,
        listenPort: data?.listenPort ?? null,
        aead: data?.aead ?? null,
      },
      keys: [
        ...(this.service?.keys() ?? []).map(key => {
          const refusal = rejected.find(({ name }) => name === key.name);
          return describeServed(key, refusal && `by Envoy: ${refusal.message}`);
        }),
        ...(this.service?.heldKeys() ?? []).map(({ key, reason }) => describeServed(key, reason)),
      ],
      envoy: front ?? null,
      warnings,
      peers: (data?.peers ?? []).map(peer => ({ ...peer, healthy: isHealthy(peer) })),
      connections: data?.connections ?? 0,
      counters: data?.counters ?? {},
    };
  }
}

/** The words of Nexodus for a rule that cannot be added at the start. */
function describeRule(key: ProxyKey): string {
  const destination = key.destinations[0]!;
  return `${key.direction} proxy rule (${formatRule({ ...key, destination })})`;
}

function describeServed(key: ServedKey, rejected: string | undefined): object {
  return {
    name: key.name,
    rules: key.destinations.map(destination => formatRule({ ...key, destination })),
    policy: key.policy ?? null,
    rejected: rejected ?? null,
  };
}

/** Instances on one machine differ by their control socket. */
function instanceName(socket: string): string {
  if (socket === defaultSocketPath()) return 'nexd';
  return `nexd-${createHash('sha256').update(socket).digest('hex').slice(0, 8)}`;
}
