import assert from 'node:assert/strict';
import { inBrowser, leave, setUp, started } from './harness';
import type { Recorder } from './recorder';

setUp();

const identifies = (recorder: Recorder): number => recorder.accepted().filter(({ type }) => type === 'identify').length;

inBrowser('an identify that changes nothing is not sent, also on the next page; its callback and promise come', async ({ page, recorder, lines }) => {
  recorder.page('/', `tabard.debug(true); tabard.identify('u1', { plan: 'pro', address: { city: 'Bern' } })`);
  await page.goto(recorder.url());
  await recorder.until(() => identifies(recorder) === 1, 'the first identify');
  await started(page);
  await page.waitForFunction(`localStorage.tabard_sent`);
  const again = await page.evaluate(`new Promise((done) => tabard.identify('u1', (ctx) => done([ctx.suppressed, ctx.delivered])))`);
  assert.deepEqual(again, [true, false]);
  await page.goto(recorder.url('/?second'));
  await recorder.until(() => recorder.accepted().length >= 3, 'the second page');
  await started(page);
  await page.evaluate(`tabard.track('end')`);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'end'), 'the end');
  assert.equal(identifies(recorder), 1);
  assert.ok(lines.some((line) => line.endsWith('[tabard] saved 2')), lines.join('\n'));
});

inBrowser('a changed trait, another id, options or force make it go', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`(async () => {
    await tabard.identify('u1', { a: 1 });
    await tabard.identify('u1', { a: 1 });
    await tabard.identify('u1', { a: 2 });
    await tabard.identify('u1', { a: 1 });
    await tabard.identify('u1', {}, { force: true });
    await tabard.identify('u1', {}, { integrations: { X: true } });
    await tabard.identify('u1');
    await tabard.identify('u1');
    await tabard.identify('u2', { a: 1 });
    await tabard.identify('u1', { a: 1 });
  })()`);
  assert.equal(identifies(recorder), 8);
});

inBrowser('while the first is still on its way the second is left out, after its failure it is not', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  recorder.fault = () => ({ status: 400, delayMs: 200 });
  const flags = await page.evaluate(`Promise.all([tabard.identify('u1'), tabard.identify('u1')].map((promise) => promise.then((ctx) => [ctx.suppressed, ctx.reason])))`);
  assert.deepEqual(flags, [[false, 'refused'], [true, undefined]]);
  recorder.fault = undefined;
  const after = await page.evaluate(`tabard.identify('u1').then(({ suppressed, delivered }) => [suppressed, delivered])`);
  assert.deepEqual(after, [false, true]);
});

inBrowser('what one tab said last counts for the other', async ({ context, recorder }) => {
  recorder.page('/');
  const [one, two] = [await context.newPage(), await context.newPage()];
  await one.goto(recorder.url());
  await two.goto(recorder.url());
  await Promise.all([started(one), started(two)]);
  await one.evaluate(`tabard.identify('u1', { a: 1 })`);
  await two.evaluate(`tabard.identify('u1', { a: 2 })`);
  await one.evaluate(`tabard.identify('u1', { a: 1 })`);
  assert.equal(identifies(recorder), 3);
});

inBrowser('sendUnchangedIdentify sends every one', async ({ page, recorder }) => {
  await recorder.configure({ sendUnchangedIdentify: true });
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`(async () => { await tabard.identify('u1'); await tabard.identify('u1'); })()`);
  assert.equal(identifies(recorder), 2);
});

inBrowser('what was said more than seven days ago is said again', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  const age = (days: number) => `{ const [print, time] = JSON.parse(localStorage.tabard_sent); const then = time - ${days} * 864e5; localStorage.tabard_sent = JSON.stringify([print, then]); document.cookie = 'tabard_sent=' + then + ';domain=.site.localhost;path=/' }`;
  await page.evaluate(`tabard.identify('u1')`);
  await page.evaluate(age(6));
  assert.equal(await page.evaluate(`tabard.identify('u1').then(({ suppressed }) => suppressed)`), true);
  await page.evaluate(age(2));
  assert.equal(await page.evaluate(`tabard.identify('u1').then(({ suppressed }) => suppressed)`), false);
});

inBrowser('what is remembered from a time to come, of a clock that was wrong, suppresses nothing', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.identify('u1')`);
  await page.evaluate(`{ const [print, time] = JSON.parse(localStorage.tabard_sent); const then = time + 864e5; localStorage.tabard_sent = JSON.stringify([print, then]); document.cookie = 'tabard_sent=' + then + ';domain=.site.localhost;path=/' }`);
  assert.equal(await page.evaluate(`tabard.identify('u1').then(({ suppressed }) => suppressed)`), false);
  assert.equal(await page.evaluate(`tabard.identify('u1').then(({ suppressed }) => suppressed)`), true);
});

inBrowser('an identify whose answer its page does not live to see still counts: the one before it is said again', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.identify('u1', { plan: 'a' })`);
  recorder.fault = () => ({ status: 200, delayMs: 300 });
  await leave(page, `tabard.identify('u1', { plan: 'b' }); location = '/?next'`);
  await started(page);
  await recorder.until(() => identifies(recorder) === 2, 'the second identify');
  recorder.fault = undefined;
  assert.equal(await page.evaluate(`tabard.identify('u1', { plan: 'a' }).then(({ suppressed }) => suppressed)`), false);
});

inBrowser('what another sub-domain said meanwhile counts: the person it changed is described again', async ({ context, recorder }) => {
  recorder.page('/');
  const [shop, blog] = [await context.newPage(), await context.newPage()];
  await shop.goto(recorder.url('/', 'shop.site.localhost'));
  await blog.goto(recorder.url('/', 'blog.site.localhost'));
  await Promise.all([started(shop), started(blog)]);
  const left = (plan: string) => `tabard.identify('u1', { plan: '${plan}' }).then(({ suppressed }) => suppressed)`;
  assert.equal(await shop.evaluate(left('a')), false);
  assert.equal(await shop.evaluate(left('a')), true);
  assert.equal(await blog.evaluate(left('b')), false);
  assert.equal(await shop.evaluate(left('a')), false);
  assert.equal(await shop.evaluate(left('a')), true);
  assert.equal(await blog.evaluate(left('b')), false);
});

inBrowser('while one is on its way, what another tab began later counts', async ({ context, recorder }) => {
  recorder.page('/');
  const [one, two] = [await context.newPage(), await context.newPage()];
  await one.goto(recorder.url());
  await two.goto(recorder.url());
  await Promise.all([started(one), started(two)]);
  recorder.fault = () => ({ status: 200, delayMs: 600 });
  await one.evaluate(`void (window.first = tabard.identify('u1', { plan: 'a' }))`);
  await one.waitForTimeout(20);
  await two.evaluate(`void tabard.identify('u1', { plan: 'b' })`);
  assert.equal(await one.evaluate(`tabard.identify('u1', { plan: 'a' }).then(({ suppressed }) => suppressed)`), false);
  assert.equal(await one.evaluate('first.then(({ delivered }) => delivered)'), true);
});

inBrowser('without cookies of its own a browser still leaves out what it said before', async ({ page, context, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.identify('u1', { plan: 'a' })`);
  await context.clearCookies({ name: 'tabard_sent' });
  assert.equal(await page.evaluate(`tabard.identify('u1', { plan: 'a' }).then(({ suppressed }) => suppressed)`), true);
});
