import { clear, F_EVENT, F_ORPHAN, F_READY, has, set, Tcb } from './tcb';
import { handleOf } from './table';

/** Two queues through the connections: those with events to tell, and those that may have something to send. */

let eventHead: usize = 0;
let eventTail: usize = 0;
let readyHead: usize = 0;
let readyTail: usize = 0;
/** Bits of the connection that nextEvent returned last. */
export let eventBits: u32 = 0;

/** Tells the application, unless it has let go. */
export function raise(t: Tcb, bits: u32): void {
  if (has(t, F_ORPHAN)) return;
  t.events |= bits;
  if (has(t, F_EVENT)) return;
  set(t, F_EVENT);
  const self = changetype<usize>(t);
  t.eventNext = 0;
  t.eventPrevious = eventTail;
  if (eventTail === 0) eventHead = self;
  else changetype<Tcb>(eventTail).eventNext = self;
  eventTail = self;
}

export function dropEvents(t: Tcb): void {
  t.events = 0;
  if (!has(t, F_EVENT)) return;
  clear(t, F_EVENT);
  if (t.eventPrevious === 0) eventHead = t.eventNext;
  else changetype<Tcb>(t.eventPrevious).eventNext = t.eventNext;
  if (t.eventNext === 0) eventTail = t.eventPrevious;
  else changetype<Tcb>(t.eventNext).eventPrevious = t.eventPrevious;
}

/** @returns handle, or 0 = no event. */
export function nextEvent(): i32 {
  if (eventHead === 0) {
    eventBits = 0;
    return 0;
  }
  const t = changetype<Tcb>(eventHead);
  eventBits = t.events;
  dropEvents(t);
  return handleOf(t);
}

/** Puts the connection at the end of those that poll visits. */
// @ts-ignore: decorator
@inline
export function ready(t: Tcb): void {
  if (!has(t, F_READY)) appendReady(t);
}

function appendReady(t: Tcb): void {
  set(t, F_READY);
  const self = changetype<usize>(t);
  t.readyNext = 0;
  t.readyPrevious = readyTail;
  if (readyTail === 0) readyHead = self;
  else changetype<Tcb>(readyTail).readyNext = self;
  readyTail = self;
}

/** Puts it first: its turn was cut short by want of room. */
export function readyFirst(t: Tcb): void {
  if (has(t, F_READY)) return;
  set(t, F_READY);
  const self = changetype<usize>(t);
  t.readyPrevious = 0;
  t.readyNext = readyHead;
  if (readyHead === 0) readyTail = self;
  else changetype<Tcb>(readyHead).readyPrevious = self;
  readyHead = self;
}

export function unready(t: Tcb): void {
  if (!has(t, F_READY)) return;
  clear(t, F_READY);
  if (t.readyPrevious === 0) readyHead = t.readyNext;
  else changetype<Tcb>(t.readyPrevious).readyNext = t.readyNext;
  if (t.readyNext === 0) readyTail = t.readyPrevious;
  else changetype<Tcb>(t.readyNext).readyPrevious = t.readyPrevious;
}

/** The one whose turn it is, or null. */
export function firstReady(): Tcb {
  return changetype<Tcb>(readyHead);
}
