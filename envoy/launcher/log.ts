/** Envoy's log lines: how we ask for them, and how they become lines of our own log. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Where lines go. `fields` are plain values; no line holds a key. */
export type Log = (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;

/** For `--log-format`: one JSON object per line, so that a message with line breaks stays one line (`%j` is JSON-escaped). */
export const LOG_FORMAT = '{"level":"%l","component":"%n","message":"%j"}';

export interface EnvoyLine {
  level: LogLevel;
  /** Envoy's logger, such as `wasm` or `main`; '' for text that is no log line (a crash of the loader, say). */
  component: string;
  message: string;
}

const LEVELS: Record<string, LogLevel> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  warning: 'warn',
  error: 'error',
  critical: 'error',
};

/** The words that Envoy puts before a line of a filter: `wasm log <plugin> <root id> <VM id>: `. */
const WASM_PREFIX = /^wasm log(?: [^\s:]+)*: /;

/**
 * Reads a line of Envoy's standard error. Envoy's own progress is of no interest to somebody who runs a proxy, so its `info`
 * is our `debug`; what the filter says at `info` (a denial) stays.
 */
export function parseLine(line: string): EnvoyLine {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return { level: 'warn', component: '', message: line };
  }
  const { level, component, message } = Object(parsed) as Record<string, unknown>;
  if (typeof level !== 'string' || typeof component !== 'string' || typeof message !== 'string') {
    return { level: 'warn', component: '', message: line };
  }
  const mapped = LEVELS[level] ?? 'warn';
  if (component === 'wasm') return { level: mapped, component, message: message.replace(WASM_PREFIX, '') };
  // Envoy's word for parts of its API that may change: UDP matching is one. For us to know at an upgrade, not for each run.
  if (message.includes('marked as work-in-progress')) return { level: 'debug', component, message };
  return { level: mapped === 'info' ? 'debug' : mapped, component, message };
}

/** The levels that Envoy must log at for what a log of this level shows: of all its components, and of `wasm`, the filter. */
export function envoyLevels(level: LogLevel): { all: string; wasm: string } {
  const all = level === 'debug' ? 'info' : level === 'error' ? 'error' : 'warning';
  return { all, wasm: level === 'info' ? 'info' : all };
}

/** The same as arguments of Envoy. */
export function logArguments(level: LogLevel): string[] {
  const { all, wasm } = envoyLevels(level);
  return ['--log-level', all, '--component-log-level', `wasm:${wasm}`, '--log-format', LOG_FORMAT];
}
