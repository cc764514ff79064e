/** A real Envoy that takes everything from a control plane on a unix socket, for tests. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';

/** $ENVOY_BIN, else `envoy` on PATH; undefined if neither runs. */
export function findEnvoy(): string | undefined {
  const binary = process.env['ENVOY_BIN'] ?? 'envoy';
  const { status } = spawnSync(binary, ['--version'], { stdio: 'ignore' });
  return status === 0 ? binary : undefined;
}

export interface EnvoyOptions {
  binary: string;
  /** Folder for its files. */
  folder: string;
  socketPath: string;
  nodeId: string;
  variant: 'GRPC' | 'DELTA_GRPC';
}

export class TestEnvoy implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #admin: string;
  /** Its log so far. */
  log = '';

  private constructor(process: ChildProcess, admin: string) {
    this.#process = process;
    this.#admin = admin;
    process.stderr?.on('data', (chunk: Buffer) => {
      this.log += chunk.toString();
    });
  }

  /** Starts it; ready or not. */
  static async start({ binary, folder, socketPath, nodeId, variant }: EnvoyOptions): Promise<TestEnvoy> {
    const admin = join(folder, 'admin.sock');
    const pipe = (path: string) => ({ pipe: { path } });
    const ads = { ads: {}, resource_api_version: 'V3' };
    const http = {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    };
    const bootstrap = {
      node: { id: nodeId, cluster: 'test' },
      admin: { address: pipe(admin) },
      dynamic_resources: {
        ads_config: {
          api_type: variant,
          transport_api_version: 'V3',
          grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
        },
        cds_config: ads,
        lds_config: ads,
      },
      static_resources: {
        clusters: [
          {
            name: 'xds',
            type: 'STATIC',
            connect_timeout: '1s',
            typed_extension_protocol_options: { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': http },
            load_assignment: {
              cluster_name: 'xds',
              endpoints: [{ lb_endpoints: [{ endpoint: { address: pipe(socketPath) } }] }],
            },
          },
        ],
      },
    };
    const file = join(folder, 'envoy.json');
    await writeFile(file, JSON.stringify(bootstrap));
    const flags = ['--disable-hot-restart', '--concurrency', '1', '--drain-time-s', '1', '-l', 'warning'];
    const child = spawn(binary, ['-c', file, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
    return new TestEnvoy(child, admin);
  }

  /** GET on the admin interface. @throws Error while it does not listen yet. */
  admin(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.#admin, path }, response => {
        let body = '';
        response.on('data', (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on('end', () => resolve(body));
      });
      call.on('error', reject);
      call.end();
    });
  }

  /** Names of its listeners, sorted; nothing while it does not answer. */
  async listeners(): Promise<string[]> {
    const text = await this.admin('/listeners').catch(() => '');
    return [...text.matchAll(/^(.+)::/gm)].map(match => match[1]!).sort();
  }

  /** The value of a counter or gauge; 0 if it does not exist. */
  async stat(name: string): Promise<number> {
    const text = await this.admin(`/stats?filter=${encodeURIComponent(`^${name.replaceAll('.', '\\.')}$`)}`);
    return Number(/: (\d+)/.exec(text)?.[1] ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}
