/** The control socket between nexctl and nexd. */

export { CallError, callNexd } from './client.ts';
export type { Method, Methods } from './request.ts';
export { ControlServer } from './server.ts';
export { checkSocketPath, defaultSocketPath } from './socket-path.ts';
