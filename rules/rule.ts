/**
 * One proxy rule: `protocol:port:destination:destination_port`, in Nexodus' syntax and with its error messages.
 *
 * `egress`: a local listener on `port`, dialled on to `destination` through the tunnel.
 * `ingress`: a listener on our tunnel addresses, dialled on to `destination` in the local network.
 */

import { formatEndpoint, parseAddress, splitZone } from './address.ts';
import { goAtoi, goSplitHostPort, type Parsed } from './go-text.ts';

export type Direction = 'egress' | 'ingress';
export type Protocol = 'tcp' | 'udp';

export interface Destination {
  /** IPv4, IPv6 without brackets (a zone may follow), or a name. */
  host: string;
  /** 1..65535 */
  port: number;
}

export interface ProxyRule {
  direction: Direction;
  protocol: Protocol;
  /** Listen port, 1..65535. */
  port: number;
  destination: Destination;
}

export type RuleResult = { ok: true; rule: ProxyRule } | { ok: false; error: string };

export const DIRECTIONS: readonly Direction[] = ['egress', 'ingress'];

function parsePort(text: string): Parsed<number> {
  const port = goAtoi(text);
  if (!port.ok) return { ok: false, error: `invalid port (${text}): ${port.error}` };
  if (port.value < 1 || port.value > 65535) {
    return { ok: false, error: `invalid port (${port.value}): out of range 0-65535` };
  }
  return port;
}

/** Why a host can be neither an address nor a name; undefined when it can. Nexodus takes any text here. */
function hostProblem(host: string): string | undefined {
  if (host === '') return 'host cannot be empty';
  const { address, zone } = splitZone(host);
  if (host.includes(':')) {
    if (parseAddress(address) === undefined) return 'host is not an IPv6 address';
    if (zone !== undefined && !/^[\w.:-]{1,64}$/.test(zone)) return 'host has an invalid zone';
    return undefined;
  }
  // Control characters and blanks would let one rule print as two in the listing and in the log.
  if (!/^[\p{L}\p{M}\p{N}_.-]+$/u.test(host)) return 'host has a character that no address or name has';
  return host.length > 253 ? 'host is longer than 253 characters' : undefined;
}

/** Parse one rule. Errors are Nexodus' texts, without the `Failed to add …` prefix of the command line. */
export function parseRule(direction: Direction, text: string): RuleResult {
  const parts = text.split(':');
  if (parts.length < 4) {
    return { ok: false, error: `invalid proxy rule format, must specify 4 colon-separated values (${text})` };
  }
  const protocol = parts[0]!.toLowerCase();
  if (protocol !== 'tcp' && protocol !== 'udp') return { ok: false, error: `invalid protocol (${parts[0]})` };
  const port = parsePort(parts[1]!);
  if (!port.ok) return port;

  const hostPort = parts.slice(2).join(':');
  const destination = goSplitHostPort(hostPort);
  if (!destination.ok) return { ok: false, error: `invalid destination host:port (${hostPort}): ${destination.error}` };
  const { host, port: destinationPortText } = destination.value;
  const problem = hostProblem(host);
  if (problem !== undefined) return { ok: false, error: `invalid destination host:port (${hostPort}): ${problem}` };
  const destinationPort = parsePort(destinationPortText);
  if (!destinationPort.ok) return destinationPort;

  return {
    ok: true,
    rule: { direction, protocol, port: port.value, destination: { host, port: destinationPort.value } },
  };
}

/** Canonical text, `tcp:8001:[200::1]:8080`. */
export function formatRule(rule: ProxyRule): string {
  return `${rule.protocol}:${rule.port}:${formatEndpoint(rule.destination.host, rule.destination.port)}`;
}

/** As it is given on the command line, `--egress tcp:8001:[200::1]:8080`. */
export function formatRuleFlag(rule: ProxyRule): string {
  return `--${rule.direction} ${formatRule(rule)}`;
}

/** Equal in meaning: same listener, same canonical destination text. */
export function sameRule(a: ProxyRule, b: ProxyRule): boolean {
  return a.direction === b.direction && formatRule(a) === formatRule(b);
}
