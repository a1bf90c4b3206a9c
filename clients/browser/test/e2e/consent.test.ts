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
  assert.deepEqual(await page.evaluate('Object.entries(localStorage)'), [['tabard_consent', 'out']]);
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

inBrowser('optOut erases what was kept before the site asked for consent; a later optIn brings none of it back', async ({ page, context, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.identify('u1', { email: 'a@example.com' })`);
  const before = (await cookiesOf(context)).ajs_anonymous_id;
  recorder.fault = () => ({ status: 500 });
  await page.evaluate(`tabard.track('before')`);
  await recorder.configure({ consent: {} });
  await page.goto(recorder.url('/?asked'));
  await started(page);
  recorder.fault = undefined;
  recorder.seen.length = 0;
  await page.evaluate('tabard.optOut()');
  assert.deepEqual(await page.evaluate('Object.keys(localStorage)'), ['tabard_consent']);
  await page.evaluate(`tabard.optIn(); tabard.track('after')`);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'after'), 'the track after optIn');
  await page.waitForTimeout(300);
  const sent = recorder.sent();
  assert.ok(!sent.some(({ event }) => event === 'before'));
  assert.ok(sent.every(({ userId, anonymousId }) => !userId && anonymousId !== before));
});

inBrowser('a sub-domain that was not visited between optOut and optIn does not bring its person back', async ({ page, context, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url('/', 'blog.site.localhost'));
  await started(page);
  await page.evaluate(`tabard.identify('u1', { a: 1 })`);
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate('tabard.optOut(); tabard.optIn()');
  const { ajs_anonymous_id: minted } = await cookiesOf(context);
  await page.goto(recorder.url('/', 'blog.site.localhost'));
  await started(page);
  assert.deepEqual(await page.evaluate('[tabard.user().id(), tabard.user().traits(), tabard.user().anonymousId()]'), [null, {}, minted]);
});

inBrowser('what waits in another tab is thrown away when that tab is looked at after an optOut', async ({ context, recorder }) => {
  recorder.page('/', '', { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') });
  const [one, two] = [await context.newPage(), await context.newPage()];
  await Promise.all([one.goto(recorder.url()), two.goto(recorder.url())]);
  await Promise.all([started(one), started(two)]);
  recorder.fault = () => ({ status: 503, headers: { 'retry-after': '3' } });
  await one.evaluate(`tabard.track('before')`);
  await two.evaluate('tabard.optOut()');
  await one.evaluate(`document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))`);
  recorder.fault = undefined;
  await two.evaluate('tabard.optIn()');
  recorder.seen.length = 0;
  await one.evaluate(`tabard.track('after')`);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'after'), 'the track after optIn', 8000);
  assert.ok(!recorder.sent().some(({ event }) => event === 'before'));
});

inBrowser('optIn leaves nothing in the session storage that held it before', async ({ page, recorder }) => {
  await recorder.configure({ consent: { storage: 'session' } });
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.track('held')`);
  assert.ok(((await page.evaluate('Object.keys(sessionStorage)')) as string[]).length >= 2);
  await page.evaluate('tabard.optIn()');
  assert.deepEqual(await page.evaluate('Object.keys(sessionStorage)'), []);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'held'), 'the held track');
});

inBrowser('a decision whose cookie is gone comes back from local storage', async ({ page, context, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate('tabard.optOut()');
  await context.clearCookies();
  await page.reload();
  await started(page);
  assert.equal(await page.evaluate(`tabard.track('x').then(({ reason }) => reason)`), 'consent');
  assert.deepEqual(await cookiesOf(context), { tabard_consent: 'out' });
});
