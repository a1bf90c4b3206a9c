/** Runs the tests of a folder of test/: bundles each file with esbuild, then `node --test`. Usage: tests.mjs unit|e2e [NAME…] */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [folder, ...names] = process.argv.slice(2);
const from = join(root, 'test', folder);
const to = join(root, '.tests', folder);
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

rmSync(to, { recursive: true, force: true });
await build({
  entryPoints: readdirSync(from).filter((name) => name.endsWith('.test.ts') && (!names.length || names.includes(name.split('.')[0]))).map((name) => join(from, name)),
  outdir: to,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  define: { 'import.meta.dirname': JSON.stringify(from), TABARD_VERSION: JSON.stringify(version) },
});
const files = readdirSync(to).map((name) => join(to, name));
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', ...files], { stdio: 'inherit' });
process.exit(status ?? 1);
