import assert from 'node:assert/strict';
import { cookiesOf, inBrowser, setUp, started } from './harness';

setUp();

const settled = () => new Promise((resolve) => setTimeout(resolve, 300));

inBrowser('before load there is no cookie, no storage and no request', async ({ page, context, recorder }) => {
  recorder.page('/', `tabard.track('early')`, { snippet: recorder.snippet().replace(/[a-z]\.load\("[^"]+"\),/, '') });
  await page.goto(recorder.url());
  await settled();
  assert.deepEqual([await cookiesOf(context), await page.evaluate('localStorage.length + sessionStorage.length')], [{}, 0]);
  assert.ok(!recorder.seen.some(({ path }) => path.startsWith('/v1')));
  await page.evaluate(`tabard.load('${recorder.writeKey}')`);
  const messages = await recorder.untilAccepted(2);
  assert.deepEqual(messages.map(({ type }) => type), ['page', 'track']);
});

inBrowser('an undecided visitor leaves nothing behind; optIn sends what was held, stamped with the categories', async ({ page, context, recorder }) => {
  await recorder.configure({ consent: {}, idCookie: true });
  recorder.page('/', `tabard.identify('u1', { a: 1 })`);
  await page.goto(recorder.url());
  await started(page);
  assert.equal(await page.evaluate(`tabard.track('held').then(({ reason }) => reason)`), 'consent');
  await settled();
  assert.deepEqual([await cookiesOf(context), await page.evaluate('localStorage.length + sessionStorage.length')], [{}, 0]);
  assert.ok(!recorder.seen.some(({ method }) => method === 'POST'));
  await page.evaluate(`tabard.optIn({ analytics: true, ads: false })`);
  const messages = await recorder.untilAccepted(3);
  assert.deepEqual(messages.map(({ context: { consent } }) => consent), Array(3).fill({ categoryPreferences: { analytics: true, ads: false } }));
  const cookies = await cookiesOf(context);
  assert.deepEqual([cookies.ajs_anonymous_id, cookies.ajs_user_id], [messages[0]!.anonymousId, 'u1']);
  await page.goto(recorder.url('/', 'blog.site.localhost'));
  const later = (await recorder.untilAccepted(5)).slice(3);
  assert.deepEqual(later.map(({ context: { consent } }) => consent), Array(2).fill({ categoryPreferences: { analytics: true, ads: false } }));
});

inBrowser('events: send and drop, storage: session', async ({ page, context, recorder }) => {
  await recorder.configure({ consent: { storage: 'session', events: 'send' } });
  recorder.page('/');
  await page.goto(recorder.url());
  const [first] = await recorder.untilAccepted(1);
  await page.reload();
  const [, second] = await recorder.untilAccepted(2);
  assert.equal(second!.anonymousId, first!.anonymousId);
  assert.deepEqual([await cookiesOf(context), await page.evaluate('localStorage.length')], [{}, 0]);
  await recorder.configure({ consent: { events: 'drop' } });
  await page.reload();
  await started(page);
  assert.equal(await page.evaluate(`tabard.track('x').then(({ reason }) => reason)`), 'consent');
  await page.evaluate('tabard.optIn()');
  await page.evaluate(`tabard.track('y')`);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'y'), 'the track after consent');
  assert.ok(!recorder.accepted().some(({ event }) => event === 'x'));
});

inBrowser('optOut erases identity and queue and holds on every sub-domain and later page', async ({ page, context, recorder }) => {
  recorder.page('/', `tabard.identify('u1', { a: 1 })`);
  await page.goto(recorder.url('/?btid=b1'));
  await started(page);
  await recorder.untilAccepted(2);
  assert.ok((await cookiesOf(context))['s%3Acontext.referrer']);
  await context.setOffline(true);
  await page.evaluate(`tabard.track('waiting')`);
  await page.evaluate('tabard.optOut()');
  await context.setOffline(false);
  assert.deepEqual(await cookiesOf(context), { tabard_consent: 'out' });
  assert.deepEqual(await page.evaluate('Object.keys(localStorage)'), []);
  for (const host of ['shop.site.localhost', 'blog.site.localhost']) {
    await page.goto(recorder.url('/', host));
    await started(page);
    assert.equal(await page.evaluate(`tabard.track('x').then(({ reason }) => reason)`), 'consent');
  }
  await settled();
  assert.equal(recorder.accepted().length, 2);
  assert.deepEqual(await cookiesOf(context), { tabard_consent: 'out' });
  await page.evaluate('tabard.optIn()');
  await page.evaluate(`tabard.track('again')`);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'again'), 'the track after opting in again');
});

inBrowser('Global Privacy Control makes a visitor undecided, unless the site overrides it', async ({ page, recorder }) => {
  await page.addInitScript(`Object.defineProperty(navigator, 'globalPrivacyControl', { value: true })`);
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await settled();
  assert.equal(recorder.calls().length, 0);
  await recorder.configure({ consent: { gpc: false, storage: 'all', events: 'send' } });
  await page.reload();
  await recorder.untilAccepted(1);
});

inBrowser('optOut ends what is on its way: it is not tried again, nor sent after a middleware, also not after optIn', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  recorder.fault = () => ({ status: 500, delayMs: 300 });
  const reasons = page.evaluate(`Promise.all([tabard.track('flying'), new Promise((done) => setTimeout(() => {
    tabard.addSourceMiddleware(async ({ payload, next }) => { await new Promise((go) => setTimeout(go, 400)); next(payload); });
    done(tabard.track('in the pipeline'));
  }, 100))]).then((all) => all.map(({ reason }) => reason))`);
  await recorder.until(() => recorder.sent().some(({ event }) => event === 'flying'), 'the first try');
  await page.waitForTimeout(150);
  await page.evaluate('tabard.optOut()');
  assert.deepEqual(await reasons, ['consent', 'consent']);
  recorder.fault = undefined;
  await page.evaluate('tabard.optIn()');
  await page.evaluate(`tabard.track('again')`);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'again'), 'the track after opting in again');
  await page.waitForTimeout(1200);
  assert.deepEqual(recorder.sent().filter(({ type }) => type === 'track').map(({ event }) => event), ['flying', 'again']);
});
