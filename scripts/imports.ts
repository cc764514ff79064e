// Imports run one way (docs/architecture.md): each part may import only the parts named here, and only through their index.ts.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');

/** Part (folder) -> parts that it may import. The longest matching folder is a file's part. */
const allowed: Record<string, readonly string[]> = {
  rules: [],
  extension: [],
  'companion/wireguard': ['rules'],
  'companion/netstack': ['rules'],
  'companion/datapath': ['rules', 'companion/wireguard', 'companion/netstack'],
  companion: ['rules', 'companion/wireguard', 'companion/netstack', 'companion/datapath'],
  'envoy/api': [],
  envoy: ['envoy/api', 'rules'],
  'controlplane/resources': ['rules', 'envoy/api', 'extension'],
  'controlplane/xds': ['rules', 'envoy/api', 'controlplane/resources'],
  'controlplane/store': ['rules'],
  controlplane: ['rules', 'envoy/api', 'controlplane/resources', 'controlplane/xds', 'controlplane/store'],
  network: ['rules'],
  cli: [
    'rules',
    'extension',
    'companion',
    'controlplane',
    'controlplane/resources',
    'envoy',
    'network',
    'companion/wireguard',
  ],
};
const free = ['test', 'bench', 'scripts'];
const parts = Object.keys(allowed).sort((a, b) => b.length - a.length);
const topOf = (path: string) => path.split('/')[0];
const partOf = (file: string) => parts.find(part => file.startsWith(`${part}/`));

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      if (!/^(node_modules|build|generated|assembly|testdata|\..*)$/.test(entry.name)) yield* sources(path);
    } else if (path.endsWith('.ts')) yield path;
  }
}

/** @returns one line for each import that runs the wrong way or reaches into another part's folder. */
export function wrongImports(): string[] {
  const wrong: string[] = [];
  for (const file of sources('')) {
    const part = partOf(file);
    if (part === undefined || free.some(folder => file.startsWith(`${folder}/`))) continue;
    const isTest = file.endsWith('.test.ts');
    const text = readFileSync(join(root, file), 'utf8');
    for (const match of text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
      const target = relative(root, resolve(root, dirname(file), match[1]!));
      const targetPart = partOf(target);
      if (targetPart === undefined || targetPart === part) continue;
      // A test may take the real thing from anywhere: no mock where the real part runs.
      if (isTest) continue;
      // Inside one top folder only the direction is fixed; between top folders an index.ts is the door.
      const neighbour = topOf(targetPart) === topOf(part);
      if (!allowed[part]!.includes(targetPart))
        wrong.push(`${file}: ${part} must not import ${targetPart} (${target})`);
      else if (!neighbour && !target.endsWith('/index.ts'))
        wrong.push(`${file}: reaches into ${targetPart} (${target}); import its index.ts`);
    }
  }
  return wrong;
}
