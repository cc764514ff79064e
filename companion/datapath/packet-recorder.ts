import { closeSync, openSync, writeSync } from 'node:fs';
import { pcapHeader, pcapRecord } from '../wireguard/pcap.ts';
import type { LinearMemory, Pointer } from './memory.ts';

/** Writes packets to a pcap file, of mode 0600, as they pass. Each one costs a system call: for looking, not for every day. */
export class PacketRecorder {
  readonly #file: number;

  /** Throws Error when the file cannot be made. An old one is replaced. */
  constructor(path: string) {
    this.#file = openSync(path, 'w', 0o600);
    writeSync(this.#file, pcapHeader());
  }

  record({ u8 }: LinearMemory, packet: Pointer, length: number): void {
    writeSync(this.#file, pcapRecord(u8.subarray(packet, packet + length), performance.timeOrigin + performance.now()));
  }

  close(): void {
    closeSync(this.#file);
  }
}
