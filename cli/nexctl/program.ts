/** The command line of nexctl: the verbs of `nexctl nexd`, with the real one's texts. */

import { Command, CommanderError, Option } from 'commander';
import type { Direction } from '../../rules/index.ts';
import { CallError, callNexd, defaultSocketPath } from '../control/index.ts';
import { Failure, oneLine } from '../failure.ts';
import { version } from '../version.ts';
import { formatPeers } from './peers.ts';
import { formatDetail, type StatusDetail } from './status.ts';

const EXAMPLES = `
Examples:
  nexctl nexd status
  nexctl nexd proxy list
  nexctl nexd proxy add --egress tcp:5432:100.100.0.2:5432 --ingress tcp:443:127.0.0.1:8080
  nexctl nexd proxy add egress tcp:5432:100.100.0.2:5432
  nexctl nexd proxy remove ingress tcp:443:127.0.0.1:8080

Exit code: 0 when everything asked for was done; 1 otherwise (nexd not running or still starting, a rule refused).
`;

/** Something was refused and has been told. */
class Refused extends Error {}

const write = (text: string): void => {
  process.stdout.write(text);
};

const list = (value: string, previous: string[] | undefined): string[] => [
  ...(previous ?? []),
  ...value.split(',').map(item => item.trim()),
];

const RULE = 'protocol:port:destination:destination_port, IPv6 in brackets (may be repeated)';

interface RuleFlags {
  ingress: string[];
  egress: string[];
}

/** `egress RULE ingress RULE ...` as words, the first design's spelling. */
function rulesOfWords(words: readonly string[]): RuleFlags {
  const rules: RuleFlags = { ingress: [], egress: [] };
  let direction: Direction | undefined;
  for (const word of words) {
    if (word === 'ingress' || word === 'egress') direction = word;
    else if (direction === undefined)
      throw new Failure(`${word}: write ingress or egress before the rule, or use --ingress or --egress`);
    else rules[direction].push(...word.split(','));
  }
  if (direction !== undefined && rules[direction].length === 0) throw new Failure(`no rule behind ${direction}`);
  return rules;
}

class Nexd {
  private readonly socket: () => string;

  constructor(socket: () => string) {
    this.socket = socket;
  }

  /** Call without looking at the version. */
  call(method: string, argument = ''): Promise<string> {
    return callNexd(this.socket(), method, argument);
  }

  /** As the real nexctl: a daemon of another version is refused. */
  async checkedCall(method: string, argument = ''): Promise<string> {
    await this.checkVersion();
    return await this.call(method, argument);
  }

  async checkVersion(): Promise<void> {
    const theirs = await this.call('Version');
    if (theirs !== version()) throw new Failure(`Version mismatch: nexctl(${version()}) nexd(${theirs})`);
  }

  /** Each rule by itself: one that is refused does not keep the others back. */
  async changeRules(verb: 'Add' | 'Remove', { ingress, egress }: RuleFlags): Promise<void> {
    await this.checkVersion();
    if (ingress.length + egress.length === 0) throw new Failure('No rules provided');
    let refused = 0;
    for (const [direction, title, rules] of [
      ['ingress', 'Ingress', ingress],
      ['egress', 'Egress', egress],
    ] as const) {
      for (const rule of rules) {
        try {
          write(await this.call(`Proxy${verb}${title}`, rule));
        } catch (error) {
          if (!(error instanceof CallError)) throw error;
          refused++;
          write(
            `Error ${verb === 'Add' ? 'adding' : 'removing'} ${direction} rule (${rule}): ${oneLine(error.message)}\n`,
          );
        }
      }
    }
    if (refused > 0) throw new Refused();
  }

  async status(json: boolean): Promise<void> {
    await this.checkVersion();
    const text = await this.call('Status');
    const detail = await this.call('StatusDetail').then(
      answer => JSON.parse(answer) as StatusDetail,
      // A real nexd has no such method.
      () => undefined,
    );
    if (json) write(`${JSON.stringify(detail ?? { status: text.trim() }, null, 2)}\n`);
    else write(text + (detail === undefined ? '' : formatDetail(detail)));
    if (!text.includes('Running')) throw new Refused();
  }
}

function addNexdCommands(nexd: Command): void {
  const daemon = new Nexd(() => nexd.opts<{ unixSocket: string }>().unixSocket);
  const print = async (answer: Promise<string>) => write(`${await answer}\n`);
  nexd
    .command('version')
    .description('tell the versions of nexctl and nexd')
    .action(async () => {
      write(`nexctl version: ${version()}\n`);
      write(`nexd version: ${await daemon.call('Version')}\n`);
    });
  nexd
    .command('status')
    .description('tell what nexd does, and which rules Envoy has refused and why')
    .option('--json', 'as JSON')
    .action((flags: { json?: boolean }) => daemon.status(flags.json === true));

  const get = nexd.command('get').description('get a value');
  get
    .command('tunnelip')
    .description('our address in the tunnel')
    .option('-6, --ipv6', 'the IPv6 one')
    .action((flags: { ipv6?: boolean }) => print(daemon.checkedCall(flags.ipv6 ? 'GetTunnelIPv6' : 'GetTunnelIPv4')));
  get
    .command('debug')
    .description('whether debug messages are logged')
    .action(() => print(daemon.checkedCall('GetDebug')));
  const setDebug = nexd
    .command('set')
    .description('set a value')
    .command('debug')
    .description('log debug messages, or not');
  setDebug.command('on').action(() => print(daemon.checkedCall('SetDebugOn')));
  setDebug.command('off').action(() => print(daemon.checkedCall('SetDebugOff')));

  const proxy = nexd.command('proxy').description('the rules of nexd proxy');
  proxy
    .command('list')
    .description('list the rules')
    .action(async () => write(await daemon.checkedCall('ProxyList')));
  for (const [name, verb, description] of [
    ['add', 'Add', 'add rules; they are kept over restarts'],
    ['remove', 'Remove', 'remove rules; one of the command line comes back at the next start'],
  ] as const) {
    proxy
      .command(name)
      .description(description)
      .usage('[--ingress RULE]... [--egress RULE]... | [ingress RULE...] [egress RULE...]')
      .argument('[words...]', 'ingress or egress, followed by rules')
      .addOption(new Option('--ingress <rule>', RULE).argParser(list).default([], 'none'))
      .addOption(new Option('--egress <rule>', RULE).argParser(list).default([], 'none'))
      .action(async (words: string[], flags: RuleFlags) => {
        const given = rulesOfWords(words);
        await daemon.changeRules(verb, {
          ingress: [...flags.ingress, ...given.ingress],
          egress: [...flags.egress, ...given.egress],
        });
      });
  }

  const peers = nexd.command('peers').description('the peers of this node');
  peers
    .command('list')
    .description('list the peers')
    .option('-f, --full', 'with the bytes sent and received')
    .option('--json', 'as JSON')
    .action(async (flags: { full?: boolean; json?: boolean }) => {
      const answer = await daemon.checkedCall('ListPeers');
      if (flags.json === true) write(`${JSON.stringify(JSON.parse(answer), null, 2)}\n`);
      else write(formatPeers(answer, flags.full === true, Date.now() / 1000));
    });
  for (const [name, method] of [
    ['ping', 'ConnectivityV4'],
    ['ping6', 'ConnectivityV6'],
  ] as const) {
    peers
      .command(name)
      .description('probe the peers')
      .action(() => print(daemon.checkedCall(method)));
  }
  const exitNode = nexd.command('exit-node').description('exit nodes (not supported in proxy mode)');
  for (const [name, method] of [
    ['list', 'ListExitNodes'],
    ['enable', 'EnableExitNodeClient'],
    ['disable', 'DisableExitNodeClient'],
  ] as const) {
    exitNode.command(name).action(() => print(daemon.checkedCall(method)));
  }
}

function buildProgram(): Command {
  const program = new Command('nexctl');
  program
    .description('Ask and change a running nexd.')
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', EXAMPLES);
  program
    .command('version')
    .description('tell the version of nexctl')
    .action(() => write(`version: ${version()}\n`));
  addNexdCommands(
    program
      .command('nexd')
      .description('the nexd of this machine')
      .option('--unix-socket <path>', 'the control socket of nexd', defaultSocketPath()),
  );
  return program;
}

/** Run one command line (without the program's name). Never throws; what went wrong has been told. */
export async function runNexctl(args: readonly string[]): Promise<number> {
  try {
    await buildProgram().parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof Refused) return 1;
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      // A command that is not complete has printed its help.
      if (error.code !== 'commander.help') process.stderr.write(`nexctl: ${error.message.replace(/^error: /, '')}\n`);
      return 1;
    }
    const text =
      error instanceof Failure || error instanceof CallError ? error.message : String((error as Error)?.stack ?? error);
    process.stderr.write(`nexctl: ${oneLine(text)}\n`);
    return 1;
  }
}
