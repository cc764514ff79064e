import { input } from './input';
import { keepLocal } from './local';
import { looped, slot } from './out';

/** Packets to an own address: taken in where they were written, in the slot that the next packet will use. */

/** @param length of the packet in `slot()` */
export function loopPacket(length: u32): void {
  looped();
  const told = input(slot(), length, true);
  if (told !== 0) keepLocal(told);
}
