/** Client of Envoy's admin interface on its unix socket (https://www.envoyproxy.io/docs/envoy/latest/operations/admin). */

import { request } from 'node:http';

/** An answer larger than this is refused; the configuration of a thousand keys is about a tenth of it. */
const LONGEST_ANSWER = 256 << 20;

export class EnvoyAdminError extends Error {
  override name = 'EnvoyAdminError';
}

export interface ListenerStatus {
  name: string;
  /** `127.0.0.1:5432`, `[::]:5432`, or the path of a pipe. */
  addresses: string[];
}

/** `/server_info`'s states. */
export type ServerState = 'LIVE' | 'DRAINING' | 'PRE_INITIALIZING' | 'INITIALIZING';

interface JsonAddress {
  socket_address?: { address?: string; port_value?: number };
  pipe?: { path?: string };
}

function formatJsonAddress(address: JsonAddress | undefined): string {
  const { address: host = '', port_value: port = 0 } = address?.socket_address ?? {};
  if (address?.pipe !== undefined) return address.pipe.path ?? '';
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export class EnvoyAdmin {
  private readonly socketPath: string;
  private readonly timeoutMs: number;

  /** @param socketPath of `admin.address.pipe`. @param timeoutMs for one whole answer. */
  constructor(socketPath: string, timeoutMs = 5000) {
    this.socketPath = socketPath;
    this.timeoutMs = timeoutMs;
  }

  /** Whether Envoy is live: every listener and cluster it waits for at its start is there, and it is not draining. */
  async ready(): Promise<boolean> {
    try {
      return (await this.ask('GET', '/ready')).status === 200;
    } catch (error) {
      if (error instanceof EnvoyAdminError) return false;
      throw error;
    }
  }

  async serverInfo(): Promise<{ version: string; state: ServerState; uptimeSeconds: number; concurrency: number }> {
    const info = (await this.json('/server_info')) as {
      version: string;
      state: ServerState;
      uptime_current_epoch: string;
      command_line_options?: { concurrency?: number };
    };
    return {
      version: info.version,
      state: info.state,
      uptimeSeconds: Number.parseInt(info.uptime_current_epoch, 10),
      concurrency: info.command_line_options?.concurrency ?? 0,
    };
  }

  /** The active listeners with the addresses they really have. */
  async listeners(): Promise<ListenerStatus[]> {
    const { listener_statuses: statuses = [] } = (await this.json('/listeners?format=json')) as {
      listener_statuses?: { name: string; local_address?: JsonAddress; additional_local_addresses?: JsonAddress[] }[];
    };
    return statuses.map(({ name, local_address: first, additional_local_addresses: others = [] }) => ({
      name,
      addresses: [first, ...others].map(formatJsonAddress),
    }));
  }

  /**
   * Counters and gauges by name; histograms and texts are left out.
   * @param filter a regular expression (RE2) that the name must contain
   */
  async stats(filter = ''): Promise<Map<string, number>> {
    const query = filter === '' ? '' : `&filter=${encodeURIComponent(filter)}`;
    const { stats } = (await this.json(`/stats?format=json${query}`)) as {
      stats: { name?: string; value?: unknown }[];
    };
    const numbers = new Map<string, number>();
    for (const { name, value } of stats) if (name !== undefined && typeof value === 'number') numbers.set(name, value);
    return numbers;
  }

  /** The statistics as Prometheus reads them. */
  async prometheus(): Promise<string> {
    return await this.text('/stats/prometheus');
  }

  /** `envoy.admin.v3.ConfigDump` as JSON, with endpoints. @param resource one field of it, `dynamic_listeners` say. */
  async configDump(resource?: string): Promise<unknown> {
    return await this.json(`/config_dump?include_eds${resource === undefined ? '' : `&resource=${resource}`}`);
  }

  /** `envoy.admin.v3.Clusters` as JSON: each host with its health and its statistics. */
  async clusters(): Promise<unknown> {
    return await this.json('/clusters?format=json');
  }

  /** Changes what Envoy logs. @param levels Envoy's names of levels: of all components, and of `wasm`. */
  async setLogLevels(levels: { all: string; wasm: string }): Promise<void> {
    await this.text(`/logging?level=${levels.all}`, 'POST');
    await this.text(`/logging?wasm=${levels.wasm}`, 'POST');
  }

  private async json(path: string): Promise<unknown> {
    const text = await this.text(path);
    try {
      return JSON.parse(text);
    } catch {
      throw new EnvoyAdminError(`Envoy's answer to ${path} is not JSON`);
    }
  }

  private async text(path: string, method: 'GET' | 'POST' = 'GET'): Promise<string> {
    const { status, body } = await this.ask(method, path);
    if (status !== 200) throw new EnvoyAdminError(`Envoy answered ${status} to ${path}: ${body.split('\n', 1)[0]}`);
    return body;
  }

  private ask(method: 'GET' | 'POST', path: string): Promise<{ status: number; body: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
    const fail = (reason: string) => reject(new EnvoyAdminError(`Envoy's admin socket ${this.socketPath}: ${reason}`));
    const signal = AbortSignal.timeout(this.timeoutMs);
    const outgoing = request({ socketPath: this.socketPath, method, path, signal, agent: false }, answer => {
      const parts: Buffer[] = [];
      let size = 0;
      answer.on('data', (part: Buffer) => {
        parts.push(part);
        size += part.length;
        if (size > LONGEST_ANSWER) outgoing.destroy(new Error('answer too long'));
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString() }));
      answer.on('error', error => fail(error.message));
    });
    outgoing.on('error', error => fail(signal.aborted ? `no answer in ${this.timeoutMs} ms` : error.message));
    outgoing.end();
    return promise;
  }
}
