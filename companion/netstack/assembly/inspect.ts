import { toOwner } from './clock';
import { inFlight } from './tcp/scoreboard';
import { reorderWindow } from './tcp/rack';
import { backedOff } from './tcp/rtt';
import { earliest } from './tcp/timing';
import { Tcb } from './tcp/tcb';

/** Writes what `Netstack.inspect` names, as f64. @returns how many */
export function inspect(t: Tcb, to: usize): u32 {
  store<f64>(to, <f64>t.state);
  store<f64>(to, <f64>t.sndUna, 8);
  store<f64>(to, <f64>t.sndNxt, 16);
  store<f64>(to, <f64>t.sndWnd, 24);
  store<f64>(to, <f64>t.rcvNxt, 32);
  store<f64>(to, <f64>t.rcvAdvertised, 40);
  store<f64>(to, <f64>t.cwnd, 48);
  store<f64>(to, <f64>t.ssthresh, 56);
  store<f64>(to, t.srtt, 64);
  store<f64>(to, backedOff(t), 72);
  store<f64>(to, <f64>t.mss, 80);
  store<f64>(to, <f64>inFlight(t), 88);
  store<f64>(to, <f64>t.sndBuffer, 96);
  store<f64>(to, <f64>t.rcvBuffer, 104);
  store<f64>(to, <f64>t.retransmits, 112);
  store<f64>(to, <f64>t.phase, 120);
  store<f64>(to, reorderWindow(t), 128);
  store<f64>(to, toOwner(earliest(t)), 136);
  store<f64>(to, <f64>t.sndQueued, 144);
  store<f64>(to, <f64>t.rcvQueued, 152);
  store<f64>(to, <f64>t.outOfOrder, 160);
  store<f64>(to, <f64>t.lostOut, 168);
  store<f64>(to, <f64>t.sackedOut, 176);
  return 23;
}
