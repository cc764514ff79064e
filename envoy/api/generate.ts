/**
 * Makes Envoy's API types: `node envoy/api/generate.ts`.
 *
 * pip fetches the pinned package `xds-protos` (requirements.txt) into `build/`; the descriptors in it are handed to
 * protoc-gen-es, which writes protobuf-es v2 modules (JavaScript and declarations: as TypeScript they would hold enums,
 * which Node does not strip) into `envoy/api/generated/`. Nothing happens when that folder is already up to date.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const requirements = join(here, 'requirements.txt');
const output = join(here, 'generated');
const stampFile = join(output, 'stamp');
const packages = join(here, '../../build/xds-protos');

/** A failure whose message is all a person needs: printed without a stack. */
class SetupError extends Error {}

interface Finished {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

function run(command: string, args: string[], input?: Uint8Array): Promise<Finished> {
  return new Promise((resolve, reject) => {
    // `--target` touches no environment, so a user's wish for a virtualenv or --user has nothing to protect here.
    const env = { ...process.env, PIP_REQUIRE_VIRTUALENV: '0', PIP_USER: '0', PIP_ROOT_USER_ACTION: 'ignore' };
    const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const stdout: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', code => resolve({ code, stdout: Buffer.concat(stdout), stderr }));
    // A child that dies early closes its stdin; its exit code says more than EPIPE.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** Changes whenever the result could: the pin, the list, the code that makes it, the generator. */
async function wantedStamp(): Promise<string> {
  const hash = createHash('sha256');
  for (const name of ['requirements.txt', 'roots.ts', 'descriptors.ts', 'generate.ts']) {
    hash.update(await readFile(join(here, name)));
  }
  const { version } = createRequire(import.meta.url)('@bufbuild/protoc-gen-es/package.json') as { version: string };
  const pin = (await readFile(requirements, 'utf8')).split(' ')[0];
  return `${pin} protoc-gen-es@${version} ${hash.digest('hex').slice(0, 16)}\n`;
}

/** Installs the pinned package under `build/`, once. @returns the folder. */
async function fetchDescriptors(pin: string): Promise<string> {
  const target = join(packages, pin.replace('==', '-'));
  if (existsSync(target)) return target;
  const python = process.env['PYTHON'] ?? 'python3';
  const advice = 'It is needed once, to fetch the descriptors of the Envoy API (Debian: apt install python3-pip).';
  const found = await run(python, ['-m', 'pip', '--version']).catch(() => undefined);
  if (!found) throw new SetupError(`"${python}" was not found. ${advice}`);
  if (found.code !== 0) throw new SetupError(`"${python}" has no pip. ${advice}`);
  const partial = `${target}.${process.pid}`;
  const flags = ['--quiet', '--no-input', '--disable-pip-version-check', '--no-compile', '--no-deps'];
  // The modules are only read as text, so any Python's pip may fetch them.
  flags.push('--only-binary=:all:', '--ignore-requires-python', '--require-hashes');
  const install = await run(python, ['-m', 'pip', 'install', ...flags, '--target', partial, '-r', requirements]);
  if (install.code !== 0) {
    await rm(partial, { recursive: true, force: true });
    const reason = install.stderr.trim().split('\n').slice(-6).join('\n  ');
    throw new SetupError(`pip could not install ${pin}. Is the package index within reach?\n  ${reason}`);
  }
  await replace(partial, target);
  return target;
}

/** Puts `from` in the place of `to`, which is missing for no longer than between two renames. */
async function replace(from: string, to: string): Promise<void> {
  const old = `${to}.old.${process.pid}`;
  if (existsSync(to)) await rename(to, old);
  await rename(from, to);
  await rm(old, { recursive: true, force: true });
}

/** @returns how many modules protoc-gen-es made of the descriptors in `directory`. */
async function generate(directory: string, stamp: string): Promise<number> {
  // Imported only here: when all is up to date, the check costs no more than reading four files.
  const { create, fromBinary, toBinary } = await import('@bufbuild/protobuf');
  const plugin = await import('@bufbuild/protobuf/wkt/google/protobuf/compiler/plugin_pb.js');
  const { readDescriptors } = await import('./descriptors.ts');
  const { roots } = await import('./roots.ts');
  const protoFile = await readDescriptors(directory, roots);
  const request = create(plugin.CodeGeneratorRequestSchema, {
    parameter: 'target=js+dts,import_extension=js',
    fileToGenerate: protoFile.map(file => file.name).filter(name => !name.startsWith('google/protobuf/')),
    protoFile,
  });
  const generator = createRequire(import.meta.url).resolve('@bufbuild/protoc-gen-es/bin/protoc-gen-es');
  const done = await run(process.execPath, [generator], toBinary(plugin.CodeGeneratorRequestSchema, request));
  if (done.code !== 0) throw new SetupError(`protoc-gen-es failed:\n${done.stderr}`);
  const response = fromBinary(plugin.CodeGeneratorResponseSchema, done.stdout);
  if (response.error) throw new SetupError(`protoc-gen-es refused: ${response.error}`);

  const partial = `${output}.${process.pid}`;
  await rm(partial, { recursive: true, force: true });
  for (const { name, content } of response.file) {
    await mkdir(dirname(join(partial, name)), { recursive: true });
    await writeFile(join(partial, name), content);
  }
  await writeFile(join(partial, 'stamp'), stamp);
  await replace(partial, output);
  return response.file.length / 2;
}

async function main(): Promise<void> {
  const stamp = await wantedStamp();
  if ((await readFile(stampFile, 'utf8').catch(() => '')) === stamp) return;
  const pin = stamp.split(' ')[0]!;
  process.stderr.write(`Envoy API: ${pin} ... `);
  const modules = await generate(await fetchDescriptors(pin), stamp);
  process.stderr.write(`${modules} modules\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(
    `\n${error instanceof SetupError ? error.message : error instanceof Error ? error.stack : error}\n`,
  );
  process.exitCode = 1;
}
