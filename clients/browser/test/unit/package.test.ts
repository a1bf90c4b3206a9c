import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { AnalyticsBrowser, VERSION } from '../../src/index';

const ROOT = join(import.meta.dirname, '../..');

test('imported on a server it touches nothing, and every call ends at once, unsent', async () => {
  const analytics = AnalyticsBrowser.load({ writeKey: 'wk', host: 'https://events.example' });
  const ctx = await analytics.track('x');
  assert.deepEqual([ctx.delivered, ctx.reason], [false, 'server']);
  assert.equal(analytics.on('track', () => undefined), analytics);
  assert.equal(analytics.user().id(), null);
  const [instance] = await analytics;
  assert.ok(instance);
});

test('the package has no runtime dependency', () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, unknown>;
  assert.equal(manifest.dependencies, undefined);
  assert.ok(existsSync(join(ROOT, 'package-lock.json')));
});

const SITE_ON_A_SERVER = `
import { AnalyticsBrowser, VERSION, type Ctx } from 'tabard-browser';
const analytics = AnalyticsBrowser.load({ writeKey: 'wk', host: 'https://events.example' });
const ctx: Ctx = await analytics.identify('u1', { email: 'a@example.com' });
console.log([VERSION, ctx.delivered, ctx.reason, Object.keys(globalThis).includes('tabard')].join());
`;

for (const resolution of ['bundler', 'node16', 'nodenext'])
  test(`the packed package compiles strictly under moduleResolution ${resolution}, and runs on a server`, { timeout: 120_000 }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'tabard-pack-'));
    const installed = join(folder, 'node_modules/tabard-browser');
    try {
      const [{ filename, files }] = JSON.parse(execFileSync('npm', ['pack', '--json', '--pack-destination', folder], { cwd: ROOT, encoding: 'utf8' })) as [
        { filename: string; files: { path: string }[] },
      ];
      assert.deepEqual(files.map(({ path }) => path).sort(), ['README.md', 'dist/index.d.ts', 'dist/index.js', 'package.json']);
      mkdirSync(installed, { recursive: true });
      execFileSync('tar', ['xzf', join(folder, filename), '-C', installed, '--strip-components=1']);
      writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
      writeFileSync(join(folder, 'site.ts'), readFileSync(join(ROOT, 'test/types.ts'), 'utf8').replace('../src/index', 'tabard-browser'));
      const module = resolution === 'bundler' ? 'esnext' : resolution;
      writeFileSync(join(folder, 'server.ts'), SITE_ON_A_SERVER);
      const options = ['--strict', '--target', 'es2022', '--lib', 'es2022,dom', '--module', module, '--moduleResolution', resolution];
      const { status, stdout } = spawnSync(join(ROOT, 'node_modules/.bin/tsc'), [...options, 'site.ts', 'server.ts'], { cwd: folder, encoding: 'utf8' });
      assert.equal(status, 0, stdout);
      const ran = execFileSync(process.execPath, ['server.js'], { cwd: folder, encoding: 'utf8' });
      assert.equal(ran.trim(), `${VERSION},false,server,false`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
