/** The command line of nexd. */

import { Command, CommanderError, type Option } from 'commander';
import { Failure } from '../failure.ts';
import { createLogger, type Logger } from '../log.ts';
import { version } from '../version.ts';
import { GLOBAL_OPTIONS, type GlobalFlags, PROXY_OPTIONS, type ProxyFlags } from './options.ts';
import { checkProxyFlags, parseLogLevel } from './proxy-settings.ts';
import type { RenderFlags } from './render.ts';
import { checkServiceFlags } from './service-flags.ts';

const EXAMPLES = `
Examples:
  # reach a Postgres in the tunnel at localhost:5432, offer a local web service to the tunnel
  nexd proxy --config wg0.conf --egress tcp:5432:100.100.0.2:5432 --ingress tcp:443:127.0.0.1:8080

  # only this machine and one network may use the first rule
  nexd proxy --config wg0.conf --egress tcp:5432:100.100.0.2:5432 --allow egress:tcp:5432=127.0.0.1,10.1.0.0/16

  # the Envoy that you run yourself
  nexd proxy --config wg0.conf --envoy external --runtime-dir /tmp/nexd --ingress tcp:80:127.0.0.1:8080

While it runs: nexctl nexd status; nexctl nexd proxy list; nexctl nexd proxy add --egress udp:53:100.100.0.2:53

Ready is one line on standard output that starts with 'ready'; logs go to standard error.
Exit code: 0 after SIGTERM, SIGINT or SIGQUIT; 1 when the command line, the configuration or the machine does not allow
to start or go on, with one line on standard error that names the field and the reason.
`;

const NOT_HERE: Record<string, string> = {
  router: 'router mode',
  relay: 'relay mode',
  relayderp: 'DERP relay mode',
};

export interface Outcome {
  code: number;
  /** Said last, as the fatal line. */
  error?: string;
}

/** Go's flag package, in whose words Nexodus answers. */
function goMessage(error: CommanderError): string {
  const flag = /'(?:-\w, )?--?([^\s'=]+)/.exec(error.message)?.[1] ?? '';
  if (error.code === 'commander.unknownOption') return `flag provided but not defined: -${flag}`;
  if (error.code === 'commander.optionMissingArgument') return `flag needs an argument: -${flag}`;
  return error.message.replace(/^error: /, '');
}

/**
 * An empty variable counts as none, and one for a switch is a Go boolean: commander would take `false` for set.
 * Throws Failure.
 */
function readVariables(options: readonly Option[]): void {
  for (const option of options) {
    const { envVar } = option;
    const value = envVar === undefined ? undefined : process.env[envVar];
    if (envVar === undefined || value === undefined) continue;
    const off = /^(0|f|false)$/i.test(value);
    if (value === '' || (option.isBoolean() && off)) delete process.env[envVar];
    else if (option.isBoolean() && !/^(1|t|true)$/i.test(value)) {
      throw new Failure(
        `could not parse "${value}" as bool value from environment variable "${envVar}" for flag ${option.name()}`,
      );
    }
  }
}

function makeLogger(flags: GlobalFlags): Logger {
  // Nexodus: any value means debug, in plain text.
  const debug = Boolean(process.env['NEXD_LOGLEVEL']);
  const json = flags.json === true || !(debug || process.stderr.isTTY === true);
  return createLogger({ level: debug ? 'debug' : parseLogLevel(flags.logLevel), json });
}

function buildProgram(setLogger: (logger: Logger) => void): Command {
  const program = new Command('nexd');
  const copy = (options: readonly Option[], to: Command) => {
    for (const option of options) to.addOption(option);
  };
  program
    .description('A node of a WireGuard network without privileges: no root, no network interface.')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .addHelpText('after', EXAMPLES)
    .argument('[serviceURL...]')
    .usage('[options] COMMAND')
    .action((positional: string[]) => {
      const [word] = positional;
      if (word !== undefined && !word.includes('://')) throw new Failure(`unknown command ${word}: see nexd --help`);
      throw new Failure(
        'the agent mode (with a network interface) is not part of this nexd: name a command, as in nexd proxy',
      );
    });
  copy(GLOBAL_OPTIONS, program);
  program
    .command('version')
    .description('tell the version')
    .action(() => console.log(`version: ${version()}`));
  const proxy = program
    .command('proxy')
    .summary('join the network and forward connections in both directions')
    .description(
      'Join a WireGuard network in userspace and forward TCP connections and UDP datagrams in both directions.',
    )
    .argument('[serviceURL...]', 'deprecated, see --service-url')
    .addHelpText('after', EXAMPLES)
    .action(async (positional: string[], flags: ProxyFlags) => {
      const global = program.opts<GlobalFlags>();
      const logger = makeLogger(global);
      setLogger(logger);
      checkServiceFlags(global, positional);
      if (flags.config !== undefined && program.getOptionValueSource('serviceUrl') === 'cli') {
        throw new Failure('the --config and --service-url flags are mutually exclusive');
      }
      if (positional.length > 0) {
        logger.log(
          'warn',
          'DEPRECATION WARNING: configuring the service url via the positional argument will not be supported in a future release.  Please use the --service-url flag instead.',
        );
      }
      const settings = checkProxyFlags(global, flags);
      // Loaded only now: a mistake on the command line is told without the time to load the data path.
      const { runProxy } = await import('../proxy/index.ts');
      await runProxy(settings, logger);
    });
  copy(PROXY_OPTIONS, proxy);
  const render = program
    .command('render')
    .summary('print the rules as a static Envoy configuration')
    .description('Print TCP rules as a static Envoy configuration (YAML) that expects the companion in --runtime-dir.')
    .action(async (flags: RenderFlags) => {
      const { renderConfiguration } = await import('./render.ts');
      process.stdout.write(renderConfiguration(flags));
    });
  const rendered = ['--egress', '--ingress', '--allow', '--deny', '--bind', '--runtime-dir'];
  copy(
    PROXY_OPTIONS.filter(option => rendered.includes(option.long ?? '')),
    render,
  );
  for (const [name, what] of Object.entries(NOT_HERE)) {
    program
      .command(name, { hidden: true })
      .allowUnknownOption()
      .allowExcessArguments()
      .action(() => {
        throw new Failure(`${what} is not part of this nexd: use the real nexd for it`);
      });
  }
  return program;
}

/** Run one command line (without the program's name). Never throws; the fatal line has been written. */
export async function runNexd(args: readonly string[]): Promise<number> {
  // Before the flags are known: what stands on the command line decides how an error in it is told.
  let logger = createLogger({ level: 'info', json: args.includes('--json') || process.stderr.isTTY !== true });
  const program = buildProgram(made => {
    logger = made;
  });
  try {
    readVariables([...GLOBAL_OPTIONS, ...PROXY_OPTIONS]);
    await program.parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      logger.fatal(goMessage(error));
    } else if (error instanceof Failure) {
      logger.fatal(error.message);
    } else {
      logger.fatal(`internal error: ${(error as Error)?.stack ?? String(error)}`);
    }
    return 1;
  }
}
