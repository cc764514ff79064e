/** Peers from a WireGuard configuration file in wg-quick's format. */

export { parseWgQuick, type WgQuickConfig, type WgQuickPeer, type WgQuickResult } from './parse.ts';
export { readWgQuick } from './read.ts';
