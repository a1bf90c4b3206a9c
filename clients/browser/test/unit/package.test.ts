import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AnalyticsBrowser } from '../../src/index';

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
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as Record<string, unknown>;
  assert.equal(manifest.dependencies, undefined);
  assert.ok(existsSync(join(import.meta.dirname, '../../package-lock.json')));
});
