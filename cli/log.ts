/**
 * Logging: one line per event on stderr; JSON (`level`, `ts`, `msg`, fields) or, on a terminal, plain text.
 * Standard output is kept for what a person or a script waits for: the rules and the `ready` line.
 */

import { writeSync } from 'node:fs';
import pino from 'pino';
import { oneLine } from './failure.ts';

export type Level = 'debug' | 'info' | 'warn' | 'error';
export const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error'];

export type LogFunction = (level: Level, message: string, fields?: Record<string, unknown>) => void;

export interface Logger {
  log: LogFunction;
  /** The last line of a process that ends because of it. */
  fatal(message: string): void;
  level(): Level;
  setLevel(level: Level): void;
  /** Called at each change of the level. */
  onLevel(listener: (level: Level) => void): void;
}

/** A whole line at once and at once: what was logged before a crash is there. */
function writeLine(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // A closed or full stderr must not end the traffic.
  }
}

function humanLine(json: string): string {
  const { level, ts, msg, ...fields } = JSON.parse(json) as { level: string; ts: string; msg: string };
  if (level === 'fatal') return `nexd: ${msg}\n`;
  const rest = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${ts.slice(11, 23)} ${level.padEnd(5)} ${[msg, ...rest].map(oneLine).join(' ')}\n`;
}

/** `json`: JSON lines; else plain text. */
export function createLogger(options: { level: Level; json: boolean }): Logger {
  const stream = { write: (line: string) => writeLine(options.json ? line : humanLine(line)) };
  const logger = pino(
    {
      level: options.level,
      base: null,
      formatters: { level: label => ({ level: label }) },
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
    },
    stream,
  );
  const listeners: ((level: Level) => void)[] = [];
  return {
    log: (level, message, fields = {}) => logger[level](fields, message),
    fatal: message => logger.fatal(oneLine(message)),
    level: () => logger.level as Level,
    setLevel: level => {
      logger.level = level;
      for (const listener of listeners) listener(level);
    },
    onLevel: listener => listeners.push(listener),
  };
}
