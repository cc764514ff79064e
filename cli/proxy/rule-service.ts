/**
 * Changes of rules while the daemon runs: one after the other, each either taken by all (data path, front, disk) or
 * by none.
 */

import { type Direction, formatRuleFlag, type Policy, type ProxyKey, proxyKeys } from '../../rules/index.ts';
import { Failure, reasonOf } from '../failure.ts';
import type { LogFunction } from '../log.ts';
import type { StateStore } from '../state/index.ts';
import { within } from '../within.ts';
import { probeListener } from './bind-probe.ts';
import type { DataPath, Front, KeyReport, ServedKey } from './parts.ts';
import type { RuleBook } from './rule-book.ts';

export interface RuleServiceOptions {
  book: RuleBook;
  policies: ReadonlyMap<string, Policy>;
  udpIdleSeconds?: number;
  probe: Probe;
  state: StateStore;
  dataPath: DataPath;
  front: Front;
  log: LogFunction;
  /** Keys that cannot be served yet, by name, and why: their ports are probed again until they are free. */
  held?: ReadonlyMap<string, string>;
}

/** Between two tries to serve what is held (ms). */
const RETRY = 5000;

/** Finds those of the keys whose listener could not be opened, by name, and why. */
export type Probe = (keys: readonly ProxyKey[]) => Promise<Map<string, string>>;

/** The probe where we, or our Envoy, listen on this machine. */
export async function probeKeys(keys: readonly ProxyKey[], bind: string): Promise<Map<string, string>> {
  const blocked = new Map<string, string>();
  for (const key of keys) {
    const problem = key.direction === 'egress' ? await probeListener(key, bind) : undefined;
    if (problem !== undefined) blocked.set(key.name, problem);
  }
  return blocked;
}

/** The data path answers within milliseconds unless it hangs (ms). */
const DATA_PATH_WITHIN = 10_000;

const answered = (reports: Promise<KeyReport[]>) => within(DATA_PATH_WITHIN, 'the data path', reports);

const sameDestinations = (a: ProxyKey, b: ProxyKey): boolean =>
  JSON.stringify(a.destinations) === JSON.stringify(b.destinations);

export class RuleService {
  private readonly options: RuleServiceOptions;
  private book: RuleBook;
  private served: ServedKey[] = [];
  private readonly held: Map<string, string>;
  private retryTimer: NodeJS.Timeout | undefined;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(options: RuleServiceOptions) {
    this.options = options;
    this.book = options.book;
    this.held = new Map(options.held);
  }

  /** Serve the rules of the start. Throws Failure; the caller then takes everything down. */
  start(): Promise<void> {
    return this.exclusive(async () => {
      this.served = await this.serve(this.book, this.served);
      if (this.held.size > 0) this.retryTimer = setInterval(() => this.retry(), RETRY).unref();
    });
  }

  close(): void {
    clearInterval(this.retryTimer);
  }

  /** `--egress RULE` lines. */
  list(): string[] {
    return this.book.rules().map(formatRuleFlag);
  }

  keys(): readonly ServedKey[] {
    return this.served;
  }

  /** Keys with rules that are not served, and why. */
  heldKeys(): { key: ProxyKey; reason: string }[] {
    return proxyKeys(this.book.rules()).flatMap(key => {
      const reason = this.held.get(key.name);
      return reason === undefined ? [] : [{ key, reason }];
    });
  }

  add(direction: Direction, text: string): Promise<void> {
    return this.exclusive(async () => {
      const added = this.book.add(direction, text, 'stored');
      if (!added.ok) throw new Failure(added.error);
      await this.change(added.book);
    });
  }

  remove(direction: Direction, text: string): Promise<void> {
    return this.exclusive(async () => {
      const removed = this.book.remove(direction, text);
      if (!removed.ok) throw new Failure(removed.error);
      await this.change(removed.book);
    });
  }

  /** Wait until no change is under way. */
  idle(): Promise<void> {
    return this.exclusive(async () => {});
  }

  private exclusive<T>(work: () => Promise<T>): Promise<T> {
    const done = this.queue.then(work);
    this.queue = done.catch(() => {});
    return done;
  }

  private async change(book: RuleBook): Promise<void> {
    const before = this.served;
    const known = new Set([...before.map(key => key.name), ...this.held.keys()]);
    const keys = proxyKeys(book.rules());
    const [problem] = (await this.options.probe(keys.filter(key => !known.has(key.name)))).values();
    if (problem !== undefined) throw new Failure(problem);
    try {
      this.served = await this.serve(book, before);
      this.options.state.saveRules(book.stored());
      this.book = book;
      for (const name of this.held.keys()) if (!keys.some(key => key.name === name)) this.held.delete(name);
    } catch (error) {
      await this.restore(before);
      throw error;
    }
  }

  private async serve(book: RuleBook, before: readonly ServedKey[]): Promise<ServedKey[]> {
    const { policies, udpIdleSeconds, dataPath, front } = this.options;
    const plain = proxyKeys(book.rules()).filter(key => !this.held.has(key.name));
    const ingressUdpPorts = await front.prepare(plain);
    const keys: ServedKey[] = plain.map(key => {
      const policy = policies.get(key.name);
      const ingressUdpPort = ingressUdpPorts.get(key.name);
      return {
        ...key,
        ...(policy !== undefined && { policy }),
        ...(udpIdleSeconds !== undefined && key.protocol === 'udp' && { udpIdleSeconds }),
        ...(ingressUdpPort !== undefined && { ingressUdpPort }),
      };
    });
    const changed = new Set(
      keys.filter(key => !before.some(old => old.name === key.name && sameDestinations(old, key))).map(key => key.name),
    );
    const reports = await answered(dataPath.setProxyKeys(keys));
    const failed = reports.find(report => !report.ok);
    if (failed !== undefined) throw new Failure(`${failed.name}: ${failed.error ?? 'refused by the data path'}`);
    await front.serve(keys, reports, changed);
    return keys;
  }

  /** Serve what was held and can be served now. */
  private retry(): Promise<void> {
    return this.exclusive(async () => {
      const held = this.heldKeys();
      const blocked = await this.options.probe(held.map(({ key }) => key));
      const free = held.filter(({ key }) => !blocked.has(key.name));
      if (free.length === 0) return;
      const before = this.served;
      for (const { key } of free) this.held.delete(key.name);
      try {
        this.served = await this.serve(this.book, before);
        for (const { key } of free) this.options.log('info', `${key.name}: served now`);
      } catch (error) {
        for (const { key, reason } of free) this.held.set(key.name, reason);
        this.options.log('warn', `${free.map(({ key }) => key.name).join(', ')}: still not served: ${reasonOf(error)}`);
        await this.restore(before);
      }
    });
  }

  /** Back to what was served before a change that failed half-way. */
  private async restore(before: ServedKey[]): Promise<void> {
    const { dataPath, front, log } = this.options;
    this.served = before;
    try {
      const reports = await answered(dataPath.setProxyKeys(before));
      await front.serve(before, reports, new Set());
    } catch (error) {
      log('error', `the rules before a failed change cannot be restored: ${reasonOf(error)}`);
    }
  }
}
