/** `--envoy none`: the companion listens itself, so what it reports is all there is to know. */

import type { Front, FrontStatus } from './parts.ts';

export class CompanionFront implements Front {
  prepare(): Promise<Map<string, number>> {
    return Promise.resolve(new Map());
  }

  serve(): Promise<void> {
    return Promise.resolve();
  }

  status(): FrontStatus {
    return { kind: 'none', state: 'not used: the companion listens itself', ready: true, rejected: [] };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
