// The one entry of `npm start`, `npm test`, ...: installs what is missing, builds what is stale, then hands over to Node 24.
// Plain JavaScript without dependencies, because it runs before anything is installed and on Node 20.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const build = join(root, 'build');
const bundledNode = join(modules, 'node', 'bin', 'node');

const say = text => process.stderr.write(`nexodus-envoy: ${text}\n`);

function fail(text) {
  say(`error: ${text}`);
  process.exit(1);
}

/** SHA-256 over names and contents of files; folders are walked. */
function digest(paths) {
  const hash = createHash('sha256');
  const visit = path => {
    if (!existsSync(path)) return;
    if (statSync(path).isDirectory()) {
      if (path.endsWith('generated')) return;
      for (const name of readdirSync(path).sort()) visit(join(path, name));
    } else {
      hash.update(relative(root, path)).update('\0').update(readFileSync(path)).update('\0');
    }
  };
  for (const path of paths) visit(path);
  return hash.digest('hex');
}

const stampOf = name => {
  const file = join(name === 'dependencies' ? modules : build, `.stamp-${name}`);
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
};
const writeStamp = (name, value) => {
  const folder = name === 'dependencies' ? modules : build;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `.stamp-${name}`), value);
};

function run(command, args, what, options = {}) {
  const child = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    ...options,
  });
  if (child.error) fail(`${what}: cannot run ${command}: ${child.error.message}`);
  if (child.status !== 0) {
    process.stderr.write(`${child.stdout ?? ''}${child.stderr ?? ''}`);
    fail(`${what} failed (exit code ${child.status ?? child.signal})`);
  }
}

function installDependencies() {
  const wanted = digest([join(root, 'package-lock.json')]);
  if (stampOf('dependencies') !== wanted) {
    say('installing dependencies (about half a minute) ...');
    // Not `npm ci`: it refuses a lock file in which a registry that lacks other platforms' optional binaries left gaps.
    run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], 'npm install');
    writeStamp('dependencies', wanted);
  }
  if (!existsSync(bundledNode)) {
    const major = Number(process.versions.node.split('.')[0]);
    if (major >= 24) return;
    // The `node` package puts its binary in place by an install script; where scripts are forbidden, fetch the package that holds it.
    const { version } = JSON.parse(readFileSync(join(modules, 'node', 'package.json'), 'utf8'));
    say(`fetching Node ${version} ...`);
    run('npm', ['rebuild', 'node', '--foreground-scripts'], 'installing Node 24');
    if (!existsSync(bundledNode))
      fail('Node 24 or newer is needed, and the npm package "node" did not bring it; install Node 24 and try again');
  }
}

const node = () => (existsSync(bundledNode) ? bundledNode : process.execPath);
const environment = () => ({
  ...process.env,
  PATH: [dirname(node()), join(modules, '.bin'), process.env.PATH].join(delimiter),
});

function buildStale(name, sources, what, commands) {
  const wanted = digest(sources.map(source => join(root, source)));
  if (stampOf(name) === wanted) return;
  say(`building ${what} ...`);
  for (const [command, ...args] of commands) run(command, args, `building ${what}`, { env: environment() });
  writeStamp(name, wanted);
}

function buildAll() {
  mkdirSync(build, { recursive: true });
  const asc = join(modules, 'assemblyscript', 'bin', 'asc.js');
  const flags = ['asconfig.json', 'package-lock.json'];
  for (const [name, sources, what] of [
    ['netstack', 'companion/netstack/assembly', 'the TCP/IP stack'],
    ['filter', 'extension/assembly', 'the Envoy filter'],
    ['aead', 'companion/datapath/assembly', 'the fallback AEAD'],
  ]) {
    const entry = name === 'aead' ? `${sources}/aead.ts` : `${sources}/index.ts`;
    // Made beside and renamed: a program that starts meanwhile finds the old module or the new one, never half of one.
    const made = join(build, `${name}.wasm.new`);
    const compile = [node(), asc, entry, '--config', 'asconfig.json', '--target', name, '--outFile', made];
    buildStale(name, [sources, ...flags], what, [compile, ['mv', made, join(build, `${name}.wasm`)]]);
  }
  const api = ['envoy/api', 'package-lock.json'];
  buildStale('envoy-api', api, "Envoy's API types", [[node(), 'envoy/api/generate.ts']]);
}

function handOver(args) {
  const child = spawn(node(), ['--disable-warning=ExperimentalWarning', ...args], {
    cwd: process.env.INIT_CWD ?? root,
    stdio: 'inherit',
    env: environment(),
  });
  // The child gets a terminal's Ctrl-C by itself; what is sent to this process alone is passed on, and the child decides when to end.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', error => fail(`cannot start Node: ${error.message}`));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)));
}

const [task, ...args] = process.argv.slice(2);
installDependencies();
buildAll();
switch (task) {
  case 'build':
    break;
  case 'start':
    handOver(args.length === 0 ? [join(root, 'cli', 'demo.ts')] : [join(root, 'cli', 'nexd.ts'), ...args]);
    break;
  case 'test':
    handOver([join(root, 'scripts', 'test.ts'), ...args]);
    break;
  case 'check':
    handOver([join(root, 'scripts', 'check.ts'), ...args]);
    break;
  case 'bench':
    handOver([join(root, 'bench', 'index.ts'), ...args]);
    break;
  default:
    fail(`unknown task ${task ?? '(none)'}: start, test, build, check or bench`);
}
