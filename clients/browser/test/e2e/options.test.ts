import assert from 'node:assert/strict';
import { cookiesOf, inBrowser, setUp, started } from './harness';

setUp();

inBrowser('on https cookies are Secure; the cookie options change their attributes', async ({ page, context, recorder }) => {
  await context.route('https://shop.site.localhost/**', async (route) => {
    const { pathname, search } = new URL(route.request().url());
    const answer = await fetch(recorder.url(pathname + search, '127.0.0.1'), {
      method: route.request().method(),
      body: route.request().postData(),
    });
    await route.fulfill({ status: answer.status, contentType: answer.headers.get('content-type') ?? '', body: await answer.text() });
  });
  recorder.page('/');
  await page.goto('https://shop.site.localhost/');
  await recorder.untilAccepted(1);
  const attributes = async () => (await context.cookies()).filter(({ name }) => name === 'ajs_anonymous_id').map(({ secure, sameSite, domain }) => [secure, sameSite, domain]);
  assert.deepEqual(await attributes(), [[true, 'Lax', '.site.localhost']]);
  await context.clearCookies();
  await page.evaluate('localStorage.clear()');
  await recorder.configure({ cookie: { domain: 'shop.site.localhost', sameSite: 'Strict', maxage: 1, secure: false } });
  await page.goto('https://shop.site.localhost/?again');
  await recorder.untilAccepted(2);
  assert.deepEqual(await attributes(), [[false, 'Strict', '.shop.site.localhost']]);
  const [cookie] = await context.cookies();
  assert.ok(Math.abs(cookie!.expires - Date.now() / 1000 - 86400) < 60);
});

inBrowser('an IP address keeps its identity in a cookie of its own', async ({ page, context, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url('/', '127.0.0.1'));
  const [first] = await recorder.untilAccepted(1);
  assert.deepEqual((await context.cookies()).map(({ name, value, domain }) => [name, value, domain]), [['ajs_anonymous_id', first!.anonymousId, '127.0.0.1']]);
});

inBrowser('the page\'s load options win over the settings of the source; initialPageview and integrations', async ({ page, recorder }) => {
  await recorder.configure({ integrations: { A: true }, sendUnchangedIdentify: true });
  const options = `{ initialPageview: true, integrations: { A: false, B: { apiKey: 1 } } }`;
  recorder.page('/', '', { snippet: recorder.snippet().replace(/([a-z]\.load\("[^"]+")\),[a-z]\.page\(\)/, `$1,${options})`) });
  await page.goto(recorder.url());
  const [view] = await recorder.untilAccepted(1);
  assert.deepEqual([view!.type, view!.integrations], ['page', { A: false, B: true }]);
});

inBrowser('a time that is none does not cost the message, what cannot be JSON does', async ({ page, recorder, lines }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  const reason = await page.evaluate(`(() => { const ring = {}; ring.self = ring; return tabard.track('ring', ring).then((ctx) => ctx.reason); })()`);
  assert.equal(reason, 'invalid');
  assert.equal(lines.filter((line) => line.includes('[tabard]')).length, 1);
  await page.evaluate(`tabard.track('odd', {}, { timestamp: 'yesterday' })`);
  const odd = (await recorder.untilAccepted(2)).find(({ event }) => event === 'odd')!;
  assert.ok(Math.abs(Date.parse(odd.timestamp) - Date.now()) < 5000);
});

inBrowser('a plugin that fails to load lets messages pass', async ({ page, recorder }) => {
  recorder.page('/', `tabard.register({ name: 'broken', type: 'before', load: () => { throw new Error('no'); }, page: () => { throw new Error('never'); } })`);
  await page.goto(recorder.url());
  await recorder.untilAccepted(1);
});

inBrowser('opting out in one tab stops the other, which was already open', async ({ context, recorder }) => {
  recorder.page('/');
  const [one, two] = [await context.newPage(), await context.newPage()];
  await one.goto(recorder.url());
  await two.goto(recorder.url('/', 'blog.site.localhost'));
  await Promise.all([started(one), started(two)]);
  await one.evaluate('tabard.optOut()');
  assert.equal(await two.evaluate(`tabard.identify('u1', { a: 1 }).then(({ reason }) => reason)`), 'consent');
  assert.deepEqual(await cookiesOf(context), { tabard_consent: 'out' });
  assert.ok(!((await two.evaluate('JSON.stringify(Object.entries(localStorage))')) as string).includes('u1'));
});

inBrowser('the npm package is the same client: calls before load keep their moment, await gives the instance', async ({ page, recorder }) => {
  const bundle = await import('node:fs').then(({ readFileSync }) => readFileSync(`${import.meta.dirname}/../../dist/index.js`, 'utf8'));
  recorder.site.set('/client.js', { headers: { 'content-type': 'text/javascript' }, body: bundle });
  const module = `import { AnalyticsBrowser } from '/client.js';
    const analytics = new AnalyticsBrowser();
    const early = analytics.track('early');
    history.pushState({}, '', '/later');
    analytics.on('track', () => {}).load({ writeKey: '${recorder.writeKey}', host: location.origin });
    const [instance] = await analytics;
    window.outcome = [(await early).event.event, instance.initialized, (await analytics.identify('u1')).delivered, analytics.user().id()];`;
  recorder.site.set('/', { headers: { 'content-type': 'text/html' }, body: `<!doctype html><script type="module">${module}</script>` });
  await page.goto(recorder.url());
  await page.waitForFunction('window.outcome');
  assert.deepEqual(await page.evaluate('window.outcome'), ['early', true, true, 'u1']);
  assert.equal(recorder.accepted().find(({ event }) => event === 'early')!.context.page.path, '/');
});

inBrowser('a call costs the page little time', async ({ page, recorder }) => {
  recorder.fault = () => ({ status: 200 });
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  const ms = (await page.evaluate(`(() => { tabard.track('warm'); const from = performance.now(); for (let i = 0; i < 200; i++) tabard.track('n', { i }); return (performance.now() - from) / 200; })()`)) as number;
  console.log(`track: ${ms.toFixed(3)} ms a call`);
  assert.ok(ms < 5, `${ms} ms`);
});
