/**
 * The flags that concern the Nexodus service: checked with the texts of the real nexd, in its order.
 */

import { isIPv4, parseAddress } from '../../rules/index.ts';
import { Failure } from '../failure.ts';
import type { GlobalFlags } from './options.ts';

/** Where the value came from: a flag that only the environment sets does not conflict with --config. */
export type Source = (flag: keyof GlobalFlags) => 'cli' | 'env' | 'default' | undefined;

export interface ServiceSettings {
  /** `https://api.<host>[:port]`; undefined: none named. */
  apiUrl?: string;
}

/** google/uuid's Parse: the usual form, with `urn:uuid:`, in braces, or 32 hex digits. */
function uuidProblem(text: string): string | undefined {
  const forms: Record<number, RegExp> = {
    32: /^[0-9a-f]{32}$/i,
    36: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
    38: /^.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}.$/i,
    45: /^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
  };
  const form = forms[text.length];
  if (form === undefined) return `invalid UUID length: ${text.length}`;
  return form.test(text) ? undefined : 'invalid UUID format';
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch {
    const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
    const reason = scheme ? 'it is not a URL' : "'https://' URL scheme is required";
    throw new Failure(`invalid '--service-url=${text}' flag provided. error: ${reason}`);
  }
}

function checkAddresses(flags: GlobalFlags): void {
  for (const [name, text] of [
    ['request-ip', flags.requestIp],
    ['local-endpoint-ip', flags.localEndpointIp],
  ] as const) {
    if (text === undefined) continue;
    const address = parseAddress(text);
    if (address === undefined) {
      throw new Failure(`the IP address passed in --${name} ${text} is not valid: ${text} is not a valid v4 or v6 IP`);
    }
    if (name === 'request-ip' && !isIPv4(address)) throw new Failure('--request-ip only supports IPv4 addresses');
  }
}

/** Check all of them; `positional` are the arguments behind the subcommand (the old way to name the service). */
export function checkServiceFlags(flags: GlobalFlags, positional: readonly string[]): ServiceSettings {
  checkAddresses(flags);
  if (flags.serviceUrl !== undefined && positional.length > 0) {
    throw new Failure(
      'please remove the service URL positional argument, it was configured via the --service-url flag',
    );
  }
  if (positional.length > 1) {
    // Go prints a list in brackets, with blanks between.
    throw new Failure(
      `nexd only takes one positional argument, the service URL. Additional arguments ignored: [${positional.slice(1).join(' ')}]`,
    );
  }
  let serviceUrl = flags.serviceUrl ?? positional[0];
  if (flags.regKey !== undefined) {
    if (flags.securityGroupId !== undefined)
      throw new Failure('the --reg-key and --security-group-id flags are mutually exclusive');
    if (flags.vpcId !== undefined) throw new Failure('the --reg-key and --vpc-id flags are mutually exclusive');
    if (flags.regKey.includes('#')) {
      if (flags.serviceUrl !== undefined)
        throw new Failure('the --reg-key and --service-url flags are mutually exclusive');
      serviceUrl = flags.regKey.slice(0, flags.regKey.indexOf('#'));
    }
  }
  const settings: ServiceSettings = {};
  if (serviceUrl !== undefined) {
    const url = parseUrl(serviceUrl);
    if (url.protocol !== 'https:') {
      throw new Failure(
        `invalid '--service-url=${serviceUrl}' flag provided. error: 'https://' URL scheme is required`,
      );
    }
    settings.apiUrl = `https://api.${url.host}`;
  }
  if (flags.stunServer !== undefined && flags.stunServer.length < 2)
    throw new Failure('at least two stun servers are required');
  for (const server of flags.stunServer ?? []) {
    if (!/^(\[[^\]]+\]|[^:[\]]+):\d{1,5}$/.test(server)) throw new Failure(`--stun-server ${server}: is not host:port`);
  }
  for (const [name, text] of [
    ['vpc-id', flags.vpcId],
    ['security-group-id', flags.securityGroupId],
  ] as const) {
    const problem = text === undefined ? undefined : uuidProblem(text);
    if (problem !== undefined) throw new Failure(`invalid flag --${name}: ${problem}`);
  }
  return settings;
}
