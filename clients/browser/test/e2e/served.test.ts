import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { request } from 'node:http';
import { cookiesOf, inBrowser, setUp, started } from './harness';

setUp();

const MANIFEST = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../../src/tabard/collector/browser_assets/manifest.json'), 'utf8'),
) as { version: string; hash: string; integrity: string };

const get = (url: string, headers: Record<string, string>, method = 'GET'): Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; bytes: number }> =>
  new Promise((resolve, reject) => {
    request(url, { method, headers }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => (bytes += chunk.length));
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, bytes }));
    })
      .on('error', reject)
      .end();
  });

for (const encoding of ['br', 'gzip', 'identity'])
  inBrowser(`chromium runs the script that the server sends as ${encoding}`, async ({ page, recorder, tabard }) => {
    const path = `/v1/analytics-js/snippet/${recorder.writeKey}/analytics.min.js`;
    const served = await get(tabard.collectorUrl + path, { 'accept-encoding': encoding });
    assert.equal(served.headers['content-encoding'], encoding === 'identity' ? undefined : encoding);
    recorder.acceptEncoding = encoding;
    recorder.page('/');
    await page.goto(recorder.url());
    await recorder.untilAccepted(1);
  });

inBrowser('the script may be cached for five minutes, is revalidated by its ETag, and usable from every site', async ({ recorder, tabard }) => {
  const url = `${tabard.collectorUrl}/analytics.js/v1/${recorder.writeKey}/analytics.min.js`;
  const first = await get(url, { 'accept-encoding': 'gzip, br' });
  assert.equal(first.status, 200);
  assert.ok(first.bytes < 6000, `${first.bytes} bytes`);
  assert.match(String(first.headers['cache-control']), /max-age=300/);
  assert.equal(first.headers['access-control-allow-origin'], '*');
  assert.equal(first.headers['cross-origin-resource-policy'], 'cross-origin');
  assert.equal(first.headers['x-content-type-options'], 'nosniff');
  const again = await get(url, { 'accept-encoding': 'gzip, br', 'if-none-match': String(first.headers.etag) });
  assert.deepEqual([again.status, again.bytes], [304, 0]);
  const unknown = await get(`${tabard.collectorUrl}/v1/analytics-js/snippet/nobody/analytics.min.js`, {});
  assert.ok(unknown.status >= 400 && unknown.status < 500);
});

inBrowser('the immutable file runs under its integrity hash', async ({ page, recorder }) => {
  const head = `<script async data-global="tabard" data-write-key="${recorder.writeKey}" crossorigin integrity="${MANIFEST.integrity}" src="/v1/js/${MANIFEST.version}/${MANIFEST.hash}.js"></script>`;
  recorder.page('/', '', { snippet: '', head });
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.track('a')`);
  await recorder.untilAccepted(1);
});

inBrowser('a strict policy is kept: no inline script, no eval, Trusted Types required', async ({ page, recorder, lines }) => {
  const policy = "default-src 'none'; script-src 'self'; connect-src 'self'; require-trusted-types-for 'script'; trusted-types tabard";
  recorder.site.set('/boot.js', { headers: { 'content-type': 'text/javascript' }, body: recorder.snippet() + `tabard.track('a')` });
  recorder.site.set('/', {
    headers: { 'content-type': 'text/html', 'content-security-policy': policy },
    body: '<!doctype html><title>Strict</title><script src="/boot.js"></script>',
  });
  await page.goto(recorder.url());
  await recorder.untilAccepted(2);
  const plain = `<!doctype html><title>Plain</title><script async src="/v1/analytics-js/snippet/${recorder.writeKey}/analytics.min.js"></script>`;
  recorder.site.set('/plain', { headers: { 'content-type': 'text/html', 'content-security-policy': policy }, body: plain });
  await page.goto(recorder.url('/plain'));
  await started(page);
  await page.evaluate(`tabard.page('Plain')`);
  await recorder.untilAccepted(3);
  assert.deepEqual(lines.filter((line) => !line.includes('favicon')), []);
});

inBrowser('idCookie: the server sets the cookies again, and sets none for another site', async ({ page, context, recorder, tabard }) => {
  await recorder.configure({ idCookie: true });
  recorder.page('/', `tabard.identify('u 1')`);
  await page.goto(recorder.url());
  await recorder.untilAccepted(2);
  await recorder.until(() => recorder.seen.some(({ path, status }) => path === '/v1/id' && status > 0), 'the cookie call');
  const call = recorder.seen.find(({ path }) => path === '/v1/id')!;
  assert.equal(call.body, '.site.localhost');
  assert.ok(call.headers.cookie!.includes('ajs_anonymous_id='));
  assert.ok(call.status < 300);
  const answer = await get(`${tabard.collectorUrl}/v1/id`, { cookie: call.headers.cookie! }, 'POST');
  const set = (answer.headers['set-cookie'] as string[]).map((line) => line.split('; '));
  assert.deepEqual(set.map(([pair]) => pair!.split('=')[0]), ['ajs_anonymous_id', 'ajs_user_id']);
  assert.ok(set.every((parts) => ['Max-Age=31536000', 'Path=/', 'SameSite=Lax'].every((part) => parts.includes(part))));
  const cookies = await cookiesOf(context);
  assert.equal(cookies.ajs_user_id, 'u 1');
  const before = recorder.seen.filter(({ path }) => path === '/v1/id').length;
  await page.reload();
  await recorder.untilAccepted(3);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(recorder.seen.filter(({ path }) => path === '/v1/id').length, before);

  recorder.page('/foreign', '', { snippet: recorder.snippet('tabard', recorder.url('', 'collect.example.test')) });
  await context.clearCookies();
  await page.goto(recorder.url('/foreign', 'other.localhost'));
  await recorder.until(() => recorder.seen.some(({ path, host }) => path === '/v1/id' && host.startsWith('collect')), 'the foreign cookie call');
  const foreign = recorder.seen.find(({ path, host }) => path === '/v1/id' && host.startsWith('collect'))!;
  assert.equal(foreign.headers.cookie, undefined);
  assert.ok((await context.cookies()).every(({ domain }) => !domain.includes('example.test')));
});

inBrowser('globals: one name and nothing else', async ({ page, recorder }) => {
  recorder.page('/plain', '', { snippet: '' });
  await page.goto(recorder.url('/plain'));
  const before = (await page.evaluate('Object.keys(window)')) as string[];
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  const after = (await page.evaluate('Object.keys(window)')) as string[];
  assert.deepEqual(after.filter((name) => !before.includes(name)), ['tabard']);
});

inBrowser('a second inclusion of the snippet changes nothing', async ({ page, recorder, lines }) => {
  recorder.page('/', recorder.snippet());
  await page.goto(recorder.url());
  await recorder.untilAccepted(1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(recorder.accepted().length, 1);
  assert.deepEqual(lines.filter((line) => line.startsWith('error')), []);
});

for (const global of ['tabard', 'cioanalytics'])
  inBrowser(`the Trusted Types policy bears the name of the global ${global}`, async ({ page, recorder, lines }) => {
    const policy = `script-src 'self' 'unsafe-inline'; require-trusted-types-for 'script'; trusted-types ${global}`;
    recorder.page('/', '', { snippet: recorder.snippet(global), headers: { 'content-security-policy': policy } });
    await page.goto(recorder.url());
    await recorder.untilAccepted(1);
    assert.deepEqual(lines.filter((line) => !line.includes('favicon')), []);
  });

inBrowser('a page whose policies are others, and which does not require Trusted Types, loads the client all the same', async ({ page, recorder, lines }) => {
  recorder.page('/', '', { headers: { 'content-security-policy': `script-src 'self' 'unsafe-inline'; trusted-types other` } });
  await page.goto(recorder.url());
  await recorder.untilAccepted(1);
  assert.deepEqual(lines.filter((line) => line.startsWith('error: ')).filter((line) => line.includes('TypeError')), []);
});

inBrowser('the source names the global of a bare tag', async ({ page, recorder }) => {
  await recorder.configure({ global: 'cioanalytics' });
  recorder.page('/', '', { snippet: '', head: `<script async src="/analytics.js/v1/${recorder.writeKey}/analytics.min.js"></script>` });
  await page.goto(recorder.url());
  await page.waitForFunction(`window.cioanalytics && window.cioanalytics.initialized`);
});
