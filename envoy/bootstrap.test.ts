import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { bootstrap, bootstrapYaml } from './bootstrap.ts';
import { validate } from './testing/validate.ts';

const options = { nodeId: 'n', xdsSocket: '/run/nexodus/xds.sock', adminSocket: '/tmp/nexodus-validate-admin.sock' };

test('Envoy accepts it', async () => {
  const { ok, output } = await validate(bootstrapYaml({ ...options, metadata: { folder: '/run/nexodus' } }));
  expect(output).toContain('OK');
  expect(ok).toBe(true);
});

test('is the same as the object, also to a YAML 1.1 reader', () => {
  const yes = { ...options, nodeId: 'off', nodeCluster: '010', metadata: { a: 'no', b: 'a: "b"\n#', c: '1e3' } };
  const text = bootstrapYaml(yes);
  for (const version of ['1.1', '1.2'] as const) expect(parse(text, { version })).toEqual(bootstrap(yes));
});
