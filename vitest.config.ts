import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['node_modules/**', 'build/**'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Two cores, real processes and real namespaces: more files at once only add noise.
    maxWorkers: 2,
    pool: 'forks',
  },
});
