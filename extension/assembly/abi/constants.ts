// Numbers of proxy-wasm ABI 0.2.1 (proxy_wasm_common.h, proxy_wasm_enums.h).

export const RESULT_OK: u32 = 0;

export const LOG_INFO: u32 = 2;
export const LOG_ERROR: u32 = 4;
export const LOG_CRITICAL: u32 = 5;

export const BUFFER_PLUGIN_CONFIGURATION: u32 = 7;

export const STREAM_DOWNSTREAM: u32 = 2;

export const METRIC_COUNTER: u32 = 0;

/** FilterStatus::Continue of proxy_on_new_connection. */
export const ACTION_CONTINUE: u32 = 0;
/** FilterStatus::StopIteration: the filters behind this one (tcp_proxy, so the upstream connection) do not start. */
export const ACTION_STOP: u32 = 1;
