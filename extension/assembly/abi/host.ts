// Typed calls to the host. Strings cross as UTF-8; the host hands results over in blocks that it got from
// proxy_on_memory_allocate and that belong to us afterwards.

import { BUFFER_PLUGIN_CONFIGURATION, LOG_CRITICAL, METRIC_COUNTER, RESULT_OK, STREAM_DOWNSTREAM } from './constants';
import {
  proxy_close_stream,
  proxy_define_metric,
  proxy_get_current_time_nanoseconds,
  proxy_get_buffer_bytes,
  proxy_get_property,
  proxy_increment_metric,
  proxy_log,
  proxy_set_property,
} from './imports';

/** Eight bytes that the host fills: (address, size) of a result, or a number. */
const RETURNED: usize = memory.data(8, 8);

/** ABI export. A raw block outside the garbage collector: nothing in this module refers to it until `takeReturned`. */
export function proxy_on_memory_allocate(size: usize): usize {
  return heap.alloc(size);
}

/** ABI export whose name is the version; Envoy refuses a module with none that it knows. */
export function proxy_abi_version_0_2_1(): void {}

/** Replaces AssemblyScript's `abort`, whose import Envoy does not have. The trap closes the connection (fail closed). */
export function abortFilter(message: string | null, file: string | null, line: u32, column: u32): void {
  log(
    LOG_CRITICAL,
    'abort: ' +
      (message ? message : '?') +
      ' at ' +
      (file ? file : '?') +
      ':' +
      line.toString() +
      ':' +
      column.toString(),
  );
  unreachable();
}

/** A result of the host, in its block. Whoever asked for it frees it. */
export class Block {
  found: bool = false;
  data: usize = 0;
  size: usize = 0;

  text(): string {
    return this.size == 0 ? '' : String.UTF8.decodeUnsafe(this.data, this.size);
  }

  free(): void {
    if (this.data != 0) heap.free(this.data);
    this.data = 0;
    this.size = 0;
  }
}

function clearReturned(): void {
  memory.fill(RETURNED, 0, 2 * sizeof<usize>());
}

function returned(result: u32): Block {
  const block = new Block();
  block.found = result == RESULT_OK;
  block.data = load<usize>(RETURNED);
  block.size = load<usize>(RETURNED, sizeof<usize>());
  return block;
}

/** @param level LOG_* of constants.ts. Whether it is written is the host's decision (component `wasm`). */
export function log(level: u32, message: string): void {
  const bytes = String.UTF8.encode(message);
  proxy_log(level, changetype<usize>(bytes), bytes.byteLength);
}

/** The plugin configuration during proxy_on_configure, `size` bytes; null if the host does not hand it over. */
export function pluginConfiguration(size: usize): string | null {
  clearReturned();
  const result = proxy_get_buffer_bytes(BUFFER_PLUGIN_CONFIGURATION, 0, size, RETURNED, RETURNED + sizeof<usize>());
  const block = returned(result);
  const text = block.found ? block.text() : null;
  block.free();
  return text;
}

/** @param path segments joined by NUL, as the ABI wants them. The block is `found` if the host has such a property. */
export function property(path: ArrayBuffer): Block {
  clearReturned();
  const result = proxy_get_property(changetype<usize>(path), path.byteLength, RETURNED, RETURNED + sizeof<usize>());
  return returned(result);
}

/** Sets the filter state object `wasm.<path>` of the connection. */
export function setProperty(path: ArrayBuffer, value: ArrayBuffer): bool {
  return (
    proxy_set_property(changetype<usize>(path), path.byteLength, changetype<usize>(value), value.byteLength) ==
    RESULT_OK
  );
}

/** Closes the downstream connection of the current context. Envoy flushes and sends FIN; the ABI has no reset. */
export function closeDownstream(): void {
  proxy_close_stream(STREAM_DOWNSTREAM);
}

/** A counter that all contexts and workers add to; Envoy shows it as `wasmcustom.<name>`. @returns its id, or -1. */
export function defineCounter(name: string): i32 {
  const bytes = String.UTF8.encode(name);
  clearReturned();
  const result = proxy_define_metric(METRIC_COUNTER, changetype<usize>(bytes), bytes.byteLength, RETURNED);
  return result == RESULT_OK ? load<i32>(RETURNED) : -1;
}

export function increment(counter: i32): void {
  proxy_increment_metric(counter, 1);
}

/** Wall clock in nanoseconds since 1970. */
export function currentTime(): u64 {
  clearReturned();
  proxy_get_current_time_nanoseconds(RETURNED);
  return load<u64>(RETURNED);
}
