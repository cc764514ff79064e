// The host functions of proxy-wasm ABI 0.2.1 that this filter uses, under their ABI names.
// Source: github.com/proxy-wasm/spec, abi-versions/v0.2.1. Every pointer is an offset in this module's memory; each function
// returns a WasmResult (0 = Ok). Envoy refuses a module that imports anything it does not know, so nothing else is declared.

@external('env', 'proxy_log')
export declare function proxy_log(level: u32, messageData: usize, messageSize: usize): u32;

@external('env', 'proxy_get_buffer_bytes')
export declare function proxy_get_buffer_bytes(
  bufferType: u32,
  offset: usize,
  maxSize: usize,
  returnBufferData: usize,
  returnBufferSize: usize,
): u32;

@external('env', 'proxy_get_property')
export declare function proxy_get_property(
  pathData: usize,
  pathSize: usize,
  returnValueData: usize,
  returnValueSize: usize,
): u32;

@external('env', 'proxy_set_property')
export declare function proxy_set_property(pathData: usize, pathSize: usize, valueData: usize, valueSize: usize): u32;

@external('env', 'proxy_close_stream')
export declare function proxy_close_stream(streamType: u32): u32;

@external('env', 'proxy_get_current_time_nanoseconds')
export declare function proxy_get_current_time_nanoseconds(returnTime: usize): u32;

@external('env', 'proxy_define_metric')
export declare function proxy_define_metric(
  metricType: u32,
  nameData: usize,
  nameSize: usize,
  returnMetricId: usize,
): u32;

@external('env', 'proxy_increment_metric')
export declare function proxy_increment_metric(metricId: u32, offset: i64): u32;
