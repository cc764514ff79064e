import { expect, test } from 'vitest';
import { logArguments, parseLine } from './log.ts';

test.each([
  ['{"level":"info","component":"main","message":"starting"}', 'debug', 'main', 'starting'],
  ['{"level":"critical","component":"main","message":"a\\nb"}', 'error', 'main', 'a\nb'],
  ['{"level":"warning","component":"config","message":"x"}', 'warn', 'config', 'x'],
  [
    '{"level":"info","component":"wasm","message":"wasm log k k nexodus: denied k from 1.2.3.4:5"}',
    'info',
    'wasm',
    'denied k from 1.2.3.4:5',
  ],
  [
    '{"level":"warning","component":"misc","message":"x is marked as work-in-progress."}',
    'debug',
    'misc',
    'x is marked as work-in-progress.',
  ],
  ['error while loading shared libraries: libfoo', 'warn', '', 'error while loading shared libraries: libfoo'],
  ['42', 'warn', '', '42'],
  ['null', 'warn', '', 'null'],
])('reads %s', (line, level, component, message) => {
  expect(parseLine(line)).toEqual({ level, component, message });
});

test('at info only the filter speaks at info', () => {
  expect(logArguments('info').slice(0, 4)).toEqual(['--log-level', 'warning', '--component-log-level', 'wasm:info']);
  expect(logArguments('debug').slice(0, 4)).toEqual(['--log-level', 'info', '--component-log-level', 'wasm:info']);
  expect(logArguments('warn').slice(0, 4)).toEqual(['--log-level', 'warning', '--component-log-level', 'wasm:warning']);
});
