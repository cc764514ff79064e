/**
 * A proxy-wasm 0.2.1 host of the few functions that the filter imports, for tests that need thousands of connections or
 * configurations. What Envoy itself does with the filter is tested in Envoy.
 */

const PLUGIN_CONFIGURATION = 7;

interface Exports {
  memory: WebAssembly.Memory;
  _start(): void;
  proxy_on_memory_allocate(size: number): number;
  proxy_on_vm_start(root: number, size: number): number;
  proxy_on_configure(root: number, size: number): number;
  proxy_on_context_create(context: number, parent: number): void;
  proxy_on_new_connection(context: number): number;
  proxy_on_delete(context: number): void;
}

export interface Connection {
  admitted: boolean;
  closed: boolean;
  filterState: Map<string, string>;
}

export class FilterHost {
  readonly logs: { level: number; message: string }[] = [];
  /** The clock, nanoseconds. */
  now = 1_700_000_000_000_000_000n;
  readonly metrics = new Map<string, number>();
  readonly exports: Exports;
  private readonly names: string[] = [];
  private configuration = '';
  private properties = new Map<string, string>();
  private filterState = new Map<string, string>();
  private closed = false;
  private nextContext = 1;

  constructor(module: WebAssembly.Module) {
    const env: Record<string, (...args: never[]) => number> = {
      proxy_log: (level: number, data: number, size: number) => {
        this.logs.push({ level, message: this.text(data, size) });
        return 0;
      },
      proxy_get_buffer_bytes: (type: number, offset: number, max: number, data: number, size: number) => {
        if (type !== PLUGIN_CONFIGURATION) return 1;
        this.give(new TextEncoder().encode(this.configuration).subarray(offset, offset + max), data, size);
        return 0;
      },
      proxy_get_property: (path: number, pathSize: number, data: number, size: number) => {
        const value = this.properties.get(this.text(path, pathSize).replaceAll('\0', '.'));
        if (value === undefined) return 1;
        this.give(new TextEncoder().encode(value), data, size);
        return 0;
      },
      proxy_set_property: (path: number, pathSize: number, data: number, size: number) => {
        this.filterState.set(`wasm.${this.text(path, pathSize)}`, this.text(data, size));
        return 0;
      },
      proxy_close_stream: () => {
        this.closed = true;
        return 0;
      },
      proxy_get_current_time_nanoseconds: (time: number) => {
        this.view.setBigUint64(time, this.now, true);
        return 0;
      },
      proxy_define_metric: (_type: number, data: number, size: number, id: number) => {
        this.names.push(this.text(data, size));
        this.view.setUint32(id, this.names.length - 1, true);
        return 0;
      },
      proxy_increment_metric: (id: number, by: bigint) => {
        const name = this.names[id] ?? 'undefined metric';
        this.metrics.set(name, (this.metrics.get(name) ?? 0) + Number(by));
        return 0;
      },
    };
    this.exports = new WebAssembly.Instance(module, { env }).exports as unknown as Exports;
    this.exports._start();
    this.exports.proxy_on_vm_start(0, 0);
  }

  /** How often a metric was defined; Envoy keeps each definition for ever. */
  get definitions(): number {
    return this.names.length;
  }

  /** A new root context with this configuration; its id, or the last log line if the filter refuses. */
  configure(configuration: string): { ok: true; root: number } | { ok: false; error: string } {
    const root = this.nextContext++;
    this.configuration = configuration;
    this.exports.proxy_on_context_create(root, 0);
    const accepted = this.exports.proxy_on_configure(root, new TextEncoder().encode(configuration).length) === 1;
    return accepted ? { ok: true, root } : { ok: false, error: this.logs.at(-1)?.message ?? '' };
  }

  /** One connection from its beginning to its end. */
  connect(root: number, properties: Record<string, string>): Connection {
    const context = this.nextContext++;
    this.properties = new Map(Object.entries(properties));
    this.filterState = new Map();
    this.closed = false;
    this.exports.proxy_on_context_create(context, root);
    const admitted = this.exports.proxy_on_new_connection(context) === 0;
    this.exports.proxy_on_delete(context);
    return { admitted, closed: this.closed, filterState: this.filterState };
  }

  private get view(): DataView {
    return new DataView(this.exports.memory.buffer);
  }

  private text(data: number, size: number): string {
    return new TextDecoder().decode(new Uint8Array(this.exports.memory.buffer, data, size));
  }

  private give(bytes: Uint8Array, data: number, size: number): void {
    const block = this.exports.proxy_on_memory_allocate(bytes.length);
    new Uint8Array(this.exports.memory.buffer, block, bytes.length).set(bytes);
    this.view.setUint32(data, block, true);
    this.view.setUint32(size, bytes.length, true);
  }
}
